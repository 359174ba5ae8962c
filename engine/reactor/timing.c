// The leader's own view of latency: from an entry being accepted to its answer being with the
// driver.
//
// One entry at a time is timed: the first of the next proposal that is accepted once the one before
// is answered. With one in flight that is every entry; under load it is a sample, and what is not
// sampled costs one comparison a proposal and one a job, no clock. The clock is read anew at both
// ends, so that the work of the iteration counts too. An answer that finds no frame leaves in a
// later iteration and is timed too short by that much.
#include "engine/reactor/internal.h"

void timing_begin(struct group *group, uint64_t index)
{
    struct timing *timing = &group->reactor->timing;
    if (timing->group == NULL) {
        timing->group = group;
        timing->index = index;
        timing->began_ns = clock_now_ns(group->reactor->config.clock);
    }
}

// The entries first..last are answered, by this iteration's end.
void timing_answered(struct group *group, uint64_t first, uint64_t last)
{
    struct timing *timing = &group->reactor->timing;
    timing->is_answered |=
        timing->group == group && timing->index >= first && timing->index <= last;
}

// Nobody will answer the group's entries from here.
void timing_forget(struct group *group)
{
    struct timing *timing = &group->reactor->timing;
    if (timing->group == group) {
        timing->group = NULL;
        timing->is_answered = false;
    }
}

void timing_end(struct reactor *reactor)
{
    struct timing *timing = &reactor->timing;
    if (timing->is_answered) {
        histogram_record(&timing->answer_ns,
                         clock_now_ns(reactor->config.clock) - timing->began_ns);
        timing->group = NULL;
        timing->is_answered = false;
    }
}

const struct histogram *reactor_answer_times(const struct reactor *reactor)
{
    return &reactor->timing.answer_ns;
}
