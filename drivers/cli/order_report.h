// What `pontoon bench order` found: a table, a file order.json, and one SVG an axis, drawn by
// gnuplot from the file order.gnuplot that is left beside them.
#ifndef PONTOON_DRIVERS_CLI_ORDER_REPORT_H
#define PONTOON_DRIVERS_CLI_ORDER_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/cli/order_matrix.h"

enum {
    ORDER_ROUNDS_MAX = 25,
    ORDER_POINTS_MAX = 32,
    ORDER_FAILOVERS = 3,
    ORDER_SENTENCE_BYTES = 768
};

// LOOK_BEHIND: parallel, but followers apply beyond holes as PolarFS does (apply: look_behind).
enum order_kind { ORDER_STRICT, ORDER_PARALLEL, ORDER_LOOK_BEHIND, ORDER_KINDS };

// One value of each round.
struct order_samples {
    double values[ORDER_ROUNDS_MAX];
    uint32_t count;
};

struct order_result {
    struct order_samples rate, p50_us, p99_us, p999_us;
};

struct order_results {
    uint32_t rounds, seconds;
    const char *link;
    struct order_result points[ORDER_POINTS_MAX][ORDER_KINDS];
    // From the death of a loaded leader to an answer to a client of the next one.
    uint32_t failover_loss_ppm[ORDER_FAILOVERS];
    struct order_samples failover_ms[ORDER_FAILOVERS][ORDER_KINDS];
};

const char *order_kind_name(enum order_kind kind);
void order_add(struct order_samples *samples, double value);
// 0 when there are none.
double order_median(const struct order_samples *samples);
// Was the axis measured, every point of it in all orders?
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
