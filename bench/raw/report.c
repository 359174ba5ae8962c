#include "bench/raw/report.h"

#include "bench/report/median.h"

void report_ping(struct result *result, const struct ping_plan *plan, struct ping_report *report,
                 bool hugepages)
{
    struct median rate = median_of(report->rates, (size_t)plan->rounds);
    struct median latency = median_of(report->medians, (size_t)plan->rounds);
    result_add_text(result, "memory", hugepages ? "hugepages" : "normal");
    result_add_count(result, "size", plan->frame_bytes);
    result_add_count(result, "window", plan->window);
    result_add_count(result, "rounds", plan->rounds);
    result_add_real(result, "ops_s", rate.median, 0);
    result_add_real(result, "ops_s_min", rate.min, 0);
    result_add_real(result, "ops_s_max", rate.max, 0);
    result_add_real(result, "median_us", latency.median, 2);
    result_add_real(result, "median_us_min", latency.min, 2);
    result_add_real(result, "median_us_max", latency.max, 2);
    result_add_latency(result, &report->histogram);
    result_add_count(result, "answered", report->answered);
    result_add_count(result, "lost", report->lost);
}
