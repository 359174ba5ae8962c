// What `pontoon bench order` found: a table, a file order.json, and one SVG an axis, drawn by
// gnuplot from the file order.gnuplot that is left beside them.
#ifndef PONTOON_DRIVERS_CLI_ORDER_REPORT_H
#define PONTOON_DRIVERS_CLI_ORDER_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/cli/order_matrix.h"
#include "drivers/cli/order_rounds.h"

enum { ORDER_POINTS_MAX = 32, ORDER_FAILOVERS = 3, ORDER_SENTENCE_BYTES = 768 };

// One value of each round.
struct order_samples {
    double values[ORDER_ROUNDS_MAX];
    uint32_t count;
};

struct order_results {
    uint32_t rounds, seconds;
    const char *link;
    struct order_rounds points[ORDER_POINTS_MAX];
    // From the death of a loaded leader to an answer to a client of the next one.
    uint32_t failover_loss_ppm[ORDER_FAILOVERS];
    struct order_samples failover_ms[ORDER_FAILOVERS][ORDER_KINDS];
};

const char *order_kind_name(enum order_kind kind);
void order_add(struct order_samples *samples, double value);
// Was the axis measured, every point of it?
bool order_has_axis(const struct order_results *results, const struct order_axis *axis);
// Is there any such axis?
bool order_has_plots(const struct order_results *results);

void order_print(const struct order_results *results);
// DIR/order.json. 0 or -errno.
int order_save(const struct order_results *results, const char *directory);
// Draws DIR/order-AXIS.svg. 0, or -errno with one line of cause and remedy.
int order_plot(const struct order_results *results, const char *directory, char *reason,
               size_t reason_bytes);

#endif
