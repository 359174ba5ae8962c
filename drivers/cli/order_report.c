#include "drivers/cli/order_report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/report/median.h"

enum { PATH_BYTES = 4096, LINE_CHARACTERS = 150 };

const char *order_kind_name(enum order_kind kind)
{
    static const char *const names[ORDER_KINDS] = {"strict", "parallel", "look-behind"};
    return names[kind];
}

void order_add(struct order_samples *samples, double value)
{
    if (samples->count < ORDER_ROUNDS_MAX) {
        samples->values[samples->count++] = value;
    }
}

static struct median median_of_samples(const struct order_samples *samples)
{
    double sorted[ORDER_ROUNDS_MAX];
    if (samples->count == 0) {
        return (struct median){0};
    }
    memcpy(sorted, samples->values, sizeof(sorted));
    return median_of(sorted, samples->count);
}

static bool has_point(const struct order_results *results, uint32_t point)
{
    return results->points[point].count > 0;
}

bool order_has_axis(const struct order_results *results, const struct order_axis *axis)
{
    bool has_all = true;
    for (uint32_t at = 0; at < axis->count; at++) {
        has_all &= has_point(results, axis->points[at]);
    }
    return has_all;
}

bool order_has_plots(const struct order_results *results)
{
    bool has_any = false;
    for (uint32_t at = 0; at < order_axis_count; at++) {
        has_any |= order_has_axis(results, &order_axes[at]);
    }
    return has_any;
}

static double median_figure(const struct order_results *results, uint32_t point,
                            enum order_kind kind, enum order_figure figure)
{
    return order_rounds_median(&results->points[point], kind, figure).median;
}

static double rate_ratio(const struct order_results *results, uint32_t point, enum order_kind kind)
{
    return order_rounds_ratio(&results->points[point], kind, ORDER_RATE);
}

static double p99_ratio(const struct order_results *results, uint32_t point, enum order_kind kind)
{
    return order_rounds_ratio(&results->points[point], kind, ORDER_P99_US);
}

// What the plot of an axis shows, in numbers.
static void describe(const struct order_results *results, const struct order_axis *axis,
                     char sentence[static ORDER_SENTENCE_BYTES])
{
    size_t used = (size_t)snprintf(sentence, ORDER_SENTENCE_BYTES,
                                   "%s: parallel (look-behind) / strict is", axis->title);
    for (uint32_t at = 0; at < axis->count && used < ORDER_SENTENCE_BYTES; at++) {
        uint32_t point = axis->points[at];
        used += (size_t)snprintf(sentence + used, ORDER_SENTENCE_BYTES - used,
                                 "%s %.2f (%.2f) in rate and %.2f (%.2f) in p99 at %s",
                                 at == 0 ? "" : ",", rate_ratio(results, point, ORDER_PARALLEL),
                                 rate_ratio(results, point, ORDER_LOOK_BEHIND),
                                 p99_ratio(results, point, ORDER_PARALLEL),
                                 p99_ratio(results, point, ORDER_LOOK_BEHIND), axis->labels[at]);
    }
}

// ------------------------------------------------------------------------------------------ table

static void print_point(const struct order_results *results, uint32_t point)
{
    printf("%-15s", order_points[point].name);
    for (enum order_kind kind = ORDER_STRICT; kind < ORDER_KINDS; kind++) {
        printf("  %9.0f %8.1f %8.1f", median_figure(results, point, kind, ORDER_RATE),
               median_figure(results, point, kind, ORDER_P50_US),
               median_figure(results, point, kind, ORDER_P99_US));
    }
    printf("  %6.2f %6.2f  %7.0f  %u/%u\n", rate_ratio(results, point, ORDER_PARALLEL),
           p99_ratio(results, point, ORDER_PARALLEL), order_rounds_core_ns(&results->points[point]),
           order_rounds_counted(&results->points[point]), results->points[point].count);
}

static void print_failovers(const struct order_results *results)
{
    for (uint32_t at = 0; at < ORDER_FAILOVERS; at++) {
        const struct order_samples *samples = results->failover_ms[at];
        if (samples[ORDER_KINDS - 1].count > 0) {
            printf("failover with %.1f %% loss: strict %.0f ms, parallel %.0f ms, look-behind %.0f "
                   "ms\n",
                   results->failover_loss_ppm[at] / 1e4,
                   median_of_samples(&samples[ORDER_STRICT]).median,
                   median_of_samples(&samples[ORDER_PARALLEL]).median,
                   median_of_samples(&samples[ORDER_LOOK_BEHIND]).median);
        }
    }
}

static void print_points(const struct order_results *results)
{
    printf("%-15s", "");
    for (enum order_kind kind = ORDER_STRICT; kind < ORDER_KINDS; kind++) {
        printf("  %-27s", order_kind_name(kind));
    }
    printf("  parallel / strict  CPUs  rounds\n%-15s", "");
    for (enum order_kind kind = ORDER_STRICT; kind < ORDER_KINDS; kind++) {
        printf("  %9s %8s %8s", "writes/s", "p50 us", "p99 us");
    }
    printf("  %6s %6s  %7s  counted\n", "rate", "p99", "ns");
    for (uint32_t point = 0; point < order_point_count; point++) {
        if (has_point(results, point)) {
            print_point(results, point);
        }
    }
}

void order_print(const struct order_results *results)
{
    char sentence[ORDER_SENTENCE_BYTES];
    printf("\n");
    if (order_has_plots(results)) {
        print_points(results);
    }
    print_failovers(results);
    for (uint32_t at = 0; at < order_axis_count; at++) {
        if (order_has_axis(results, &order_axes[at])) {
            describe(results, &order_axes[at], sentence);
            printf("\n%s\n", sentence);
        }
    }
}

// ------------------------------------------------------------------------------------------- JSON

// Median, smallest and largest of the rounds that are used, and the values of all.
static json_t *values_json(struct median median, json_t *rounds)
{
    return json_pack("{s:f, s:f, s:f, s:o}", "median", median.median, "min", median.min, "max",
                     median.max, "rounds", rounds);
}

static json_t *samples_json(const struct order_samples *samples)
{
    json_t *rounds = json_array();
    for (uint32_t at = 0; at < samples->count; at++) {
        json_array_append_new(rounds, json_real(samples->values[at]));
    }
    return values_json(median_of_samples(samples), rounds);
}

static json_t *figure_json(const struct order_rounds *rounds, enum order_kind kind,
                           enum order_figure figure)
{
    json_t *values = json_array();
    for (uint32_t at = 0; at < rounds->count; at++) {
        json_array_append_new(values, json_real(rounds->rounds[at].runs[kind].figures[figure]));
    }
    return values_json(order_rounds_median(rounds, kind, figure), values);
}

// The distance of the CPUs before and after each run.
static json_t *looks_json(const struct order_rounds *rounds, enum order_kind kind)
{
    json_t *looks = json_array();
    for (uint32_t at = 0; at < rounds->count; at++) {
        const struct order_run *run = &rounds->rounds[at].runs[kind];
        json_array_append_new(looks, json_pack("[f, f]", run->core_before_ns, run->core_after_ns));
    }
    return looks;
}

static json_t *kind_json(const struct order_rounds *rounds, enum order_kind kind)
{
    static const char *const names[ORDER_FIGURES] = {"rate", "p50_us", "p99_us", "p999_us"};
    json_t *object = json_object();
    for (enum order_figure figure = ORDER_RATE; figure < ORDER_FIGURES; figure++) {
        json_object_set_new(object, names[figure], figure_json(rounds, kind, figure));
    }
    json_object_set_new(object, "core_round_trip_ns", looks_json(rounds, kind));
    return object;
}

static json_t *counts_json(const struct order_rounds *rounds)
{
    json_t *counts = json_array();
    for (uint32_t at = 0; at < rounds->count; at++) {
        json_array_append_new(counts, json_boolean(order_round_counts(&rounds->rounds[at])));
    }
    return counts;
}

static json_t *point_json(const struct order_results *results, uint32_t at)
{
    static const char *const logs[ORDER_LOGS] = {"memory", "fsync", "fsync, each its own write"};
    const struct order_point *point = &order_points[at];
    const struct order_rounds *rounds = &results->points[at];
    json_t *object = json_pack(
        "{s:s, s:i, s:i, s:i, s:i, s:i, s:b, s:s}", "name", point->name, "depth", (int)point->depth,
        "loss_ppm", (int)point->loss_ppm, "delay_us", (int)point->delay_us, "reorder_ppm",
        (int)point->reorder_ppm, "conflicts_percent", (int)point->conflicts_percent,
        "slow_follower", (int)point->has_slow_follower, "log", logs[point->log]);
    for (enum order_kind kind = ORDER_STRICT; kind < ORDER_KINDS; kind++) {
        json_object_set_new(object, order_kind_name(kind), kind_json(rounds, kind));
    }
    json_object_set_new(object, "core_round_trip_ns", json_real(order_rounds_core_ns(rounds)));
    json_object_set_new(object, "rounds_count", counts_json(rounds));
    json_object_set_new(object, "state",
                        json_string(order_rounds_counted(rounds) > 0 ? "one" : "mixed"));
    json_object_set_new(object, "rate_ratio", json_real(rate_ratio(results, at, ORDER_PARALLEL)));
    json_object_set_new(object, "p99_ratio", json_real(p99_ratio(results, at, ORDER_PARALLEL)));
    return object;
}

static json_t *axis_json(const struct order_results *results, const struct order_axis *axis)
{
    char sentence[ORDER_SENTENCE_BYTES];
    json_t *points = json_array();
    describe(results, axis, sentence);
    for (uint32_t at = 0; at < axis->count; at++) {
        json_array_append_new(points, json_string(order_points[axis->points[at]].name));
    }
    return json_pack("{s:s, s:s, s:o, s:s}", "name", axis->name, "title", axis->title, "points",
                     points, "shows", sentence);
}

static json_t *failover_json(const struct order_results *results, uint32_t at)
{
    json_t *object = json_pack("{s:i}", "loss_ppm", (int)results->failover_loss_ppm[at]);
    for (enum order_kind kind = ORDER_STRICT; kind < ORDER_KINDS; kind++) {
        json_object_set_new(object, order_kind_name(kind),
                            samples_json(&results->failover_ms[at][kind]));
    }
    return object;
}

static json_t *results_json(const struct order_results *results)
{
    char date[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    json_t *points = json_array(), *axes = json_array(), *failovers = json_array();
    for (uint32_t at = 0; at < order_point_count; at++) {
        if (has_point(results, at)) {
            json_array_append_new(points, point_json(results, at));
        }
    }
    for (uint32_t at = 0; at < order_axis_count; at++) {
        if (order_has_axis(results, &order_axes[at])) {
            json_array_append_new(axes, axis_json(results, &order_axes[at]));
        }
    }
    for (uint32_t at = 0; at < ORDER_FAILOVERS; at++) {
        if (results->failover_ms[at][ORDER_STRICT].count > 0) {
            json_array_append_new(failovers, failover_json(results, at));
        }
    }
    return json_pack(
        "{s:s, s:s, s:i, s:s, s:i, s:i, s:i, s:o, s:o, s:o}", "program", "pontoon bench order",
        "date", date, "cpus", (int)sysconf(_SC_NPROCESSORS_ONLN), "link", results->link,
        "write_bytes", (int)ORDER_WRITE_BYTES, "rounds", (int)results->rounds, "seconds",
        (int)results->seconds, "points", points, "axes", axes, "failover_ms", failovers);
}

int order_save(const struct order_results *results, const char *directory)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/order.json", directory);
    json_t *object = results_json(results);
    int failed = json_dump_file(object, path, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(object);
    return failed == 0 ? 0 : -EIO;
}

// ------------------------------------------------------------------------------------------ plots

// Columns: label, then rate, p50 and p99 of each kind.
static void write_data(FILE *file, const struct order_results *results,
                       const struct order_axis *axis)
{
    fprintf(file, "$%s << END\n", axis->name);
    for (uint32_t at = 0; at < axis->count; at++) {
        fprintf(file, "\"%s\"", axis->labels[at]);
        for (enum order_kind kind = ORDER_STRICT; kind < ORDER_KINDS; kind++) {
            uint32_t point = axis->points[at];
            fprintf(file, " %.3f %.2f %.2f", median_figure(results, point, kind, ORDER_RATE) / 1e3,
                    median_figure(results, point, kind, ORDER_P50_US),
                    median_figure(results, point, kind, ORDER_P99_US));
        }
        fprintf(file, "\n");
    }
    fprintf(file, "END\n");
}

// The sentence over the plot, in two lines when it is long.
static void write_title(FILE *file, const char *sentence)
{
    size_t length = strlen(sentence);
    const char *comma = length > LINE_CHARACTERS ? strchr(sentence + length / 2, ',') : NULL;
    int first = (int)(comma == NULL ? length : (size_t)(comma - sentence) + 1);
    fprintf(file, "set multiplot layout 1,2 title \"%.*s%s%s\" font \",9\"\n", first, sentence,
            comma == NULL ? "" : "\\n", sentence + first);
}

static void write_plot(FILE *file, const struct order_results *results,
                       const struct order_axis *axis)
{
    char sentence[ORDER_SENTENCE_BYTES];
    describe(results, axis, sentence);
    write_data(file, results, axis);
    fprintf(file, "set output \"order-%s.svg\"\n", axis->name);
    write_title(file, sentence);
    fprintf(file,
            "set xlabel \"%s\"\n"
            "set ylabel \"thousand writes a second\"\n"
            "unset logscale y\nset yrange [0:*]\n"
            "plot $%s using 2:xtic(1) title \"strict\", '' using 5 title \"parallel\", "
            "'' using 8 title \"look-behind\"\n"
            "set ylabel \"us at the client\"\n"
            "set yrange [*:*]\nset logscale y\n"
            "plot $%s using 3:xtic(1) title \"strict p50\", '' using 6 title \"parallel p50\", "
            "'' using 9 title \"look-behind p50\", '' using 4 title \"strict p99\", "
            "'' using 7 title \"parallel p99\", '' using 10 title \"look-behind p99\"\n"
            "unset multiplot\n\n",
            axis->title, axis->name, axis->name);
}

static int write_script(const struct order_results *results, const char *directory)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/order.gnuplot", directory);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        return -errno;
    }
    fprintf(file, "set terminal svg size 1200,440 background \"white\"\n"
                  "set style data histograms\nset style fill solid 0.7\nset boxwidth 0.9\n"
                  "set key below\nset grid ytics\n\n");
    for (uint32_t at = 0; at < order_axis_count; at++) {
        if (order_has_axis(results, &order_axes[at])) {
            write_plot(file, results, &order_axes[at]);
        }
    }
    return fclose(file) == 0 ? 0 : -errno;
}

int order_plot(const struct order_results *results, const char *directory, char *reason,
               size_t reason_bytes)
{
    int error = write_script(results, directory), status = 0;
    if (error != 0) {
        snprintf(reason, reason_bytes, "%s/order.gnuplot: %s", directory, strerror(-error));
        return error;
    }
    pid_t child = fork();
    if (child == 0) {
        if (chdir(directory) == 0) {
            execlp("gnuplot", "gnuplot", "order.gnuplot", (char *)NULL);
        }
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        snprintf(reason, reason_bytes, "gnuplot: %s", strerror(errno));
        return -EIO;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        snprintf(reason, reason_bytes,
                 "no plots, there is no gnuplot; install gnuplot-nox and run `gnuplot "
                 "order.gnuplot` in %s",
                 directory);
        return -ENOENT;
    }
    if (status != 0) {
        snprintf(reason, reason_bytes, "gnuplot failed on %s/order.gnuplot", directory);
        return -EIO;
    }
    return 0;
}
