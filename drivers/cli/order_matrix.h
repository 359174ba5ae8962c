// What `pontoon bench order` measures: points, each a run under given conditions, and the axes that
// they lie on. All axes cross in one point: 32 writes of 4 KiB in flight, 1 % loss, 20 us one way,
// volatile, no conflicts.
#ifndef PONTOON_DRIVERS_CLI_ORDER_MATRIX_H
#define PONTOON_DRIVERS_CLI_ORDER_MATRIX_H

#include <stdbool.h>
#include <stdint.h>

enum { ORDER_WRITE_BYTES = 4096, ORDER_AXIS_POINTS_MAX = 4, ORDER_SLOW_FACTOR = 100 };

// How the logs of a cluster are kept: each needs a cluster of its own.
enum order_log {
    ORDER_MEMORY,
    ORDER_FSYNC,        // entries share writes as they come
    ORDER_FSYNC_SINGLE, // each entry is its own write, 32 at once
    ORDER_LOGS
};

struct order_point {
    const char *name;
    uint32_t depth;
    uint32_t loss_ppm, delay_us, reorder_ppm; // of every frame between nodes, where it leaves
    uint32_t conflicts_percent;
    bool has_slow_follower; // ORDER_SLOW_FACTOR times as far away as the other
    enum order_log log;
};

struct order_axis {
    const char *name;
    const char *title; // of its plot
    uint32_t count;
    uint32_t points[ORDER_AXIS_POINTS_MAX];
    const char *labels[ORDER_AXIS_POINTS_MAX];
};

extern const struct order_point order_points[];
extern const uint32_t order_point_count;
extern const struct order_axis order_axes[];
extern const uint32_t order_axis_count;

#endif
