#include "drivers/net_impair/fate.h"

#include <errno.h>

enum { DELAY_SECONDS_MAX = 3600, FLIPS_MAX = 7 };

static bool is_chance(uint32_t ppm)
{
    return ppm <= NET_IMPAIR_PPM;
}

static bool is_sound(const struct fates *fates, const struct net_impair_rule *rule)
{
    uint64_t most_ns = UINT64_C(1000000000) * DELAY_SECONDS_MAX;
    return is_chance(rule->loss_ppm) && is_chance(rule->burst_ppm) &&
           is_chance(rule->duplicate_ppm) && is_chance(rule->reorder_ppm) &&
           is_chance(rule->corrupt_ppm) && is_chance(rule->clog_ppm) &&
           rule->burst_frames <= NET_IMPAIR_BURST_MAX &&
           (rule->burst_ppm == 0 || rule->burst_frames != 0) && rule->clog_ns <= most_ns &&
           (rule->clog_ppm == 0 || rule->clog_ns != 0) && rule->delay_ns <= most_ns &&
           rule->jitter_ns <= most_ns && (rule->kinds == 0 || fates->kinds_of != NULL);
}

void fates_init(struct fates *fates, uint64_t seed,
                uint64_t (*kinds_of)(const void *data, uint32_t bytes))
{
    *fates = (struct fates){.kinds_of = kinds_of};
    prng_init(&fates->prng, seed);
}

int fates_set_rules(struct fates *fates, const struct net_impair_rule *rules, uint32_t count)
{
    bool is_good = count <= NET_IMPAIR_RULES_MAX;
    for (uint32_t i = 0; i < count && is_good; i++) {
        is_good = is_sound(fates, &rules[i]);
    }
    if (!is_good) {
        return -EINVAL;
    }
    fates->rule_count = count;
    fates->has_filters = false;
    for (uint32_t i = 0; i < count; i++) {
        fates->rules[i] = rules[i];
        fates->progress[i] = (struct fate_progress){0};
        fates->has_filters |= rules[i].kinds != 0;
    }
    return 0;
}

// Index of the rule that decides, or rule_count.
static uint32_t match(const struct fates *fates, const struct net_frame *frame,
                      enum net_impair_direction direction)
{
    uint64_t kinds = fates->has_filters ? fates->kinds_of(frame->data, frame->bytes) : 0;
    uint32_t i = 0;
    for (; i < fates->rule_count; i++) {
        const struct net_impair_rule *rule = &fates->rules[i];
        if ((rule->direction == NET_IMPAIR_BOTH || rule->direction == direction) &&
            (rule->link == NET_IMPAIR_ANY_LINK || rule->link == frame->remote.link) &&
            (rule->ipv4 == 0 || rule->ipv4 == frame->remote.ipv4) &&
            (rule->kinds == 0 || (rule->kinds & kinds) != 0)) {
            break;
        }
    }
    return i;
}

static bool chance(struct fates *fates, uint32_t ppm)
{
    return ppm != 0 && prng_chance(&fates->prng, ppm, NET_IMPAIR_PPM);
}

static bool is_lost(struct fates *fates, const struct net_impair_rule *rule,
                    struct fate_progress *progress)
{
    if (rule->cut) {
        fates->counters.impaired_cut++;
        return true;
    }
    if (progress->burst_left == 0 && chance(fates, rule->burst_ppm)) {
        progress->burst_left = (uint32_t)prng_between(&fates->prng, 1, rule->burst_frames);
    }
    bool is_in_burst = progress->burst_left > 0;
    if (is_in_burst) {
        progress->burst_left--;
    }
    bool lost = is_in_burst || chance(fates, rule->loss_ppm);
    fates->counters.impaired_lost += lost;
    return lost;
}

static uint64_t draw_delay(struct fates *fates, const struct net_impair_rule *rule)
{
    uint64_t delay_ns = rule->delay_ns;
    if (rule->jitter_ns != 0) {
        delay_ns += prng_between(&fates->prng, 0, rule->jitter_ns);
    }
    if (chance(fates, rule->reorder_ppm)) {
        delay_ns += NET_IMPAIR_REORDER_NS;
        fates->counters.impaired_reordered++;
    }
    return delay_ns;
}

// A clog lasts until all it holds may leave.
static bool is_clogged(const struct fate_progress *progress, uint64_t now_ns)
{
    return progress->clog_release_ns > now_ns;
}

static struct fate_copy draw_copy(struct fates *fates, const struct net_impair_rule *rule,
                                  struct fate_progress *progress, uint64_t now_ns)
{
    struct fate_copy copy = {.is_corrupted = chance(fates, rule->corrupt_ppm)};
    uint64_t delay_ns = draw_delay(fates, rule);
    fates->stamp_ns = now_ns > fates->stamp_ns ? now_ns : fates->stamp_ns + 1;
    copy.due_ns = fates->stamp_ns + delay_ns;
    copy.is_late = delay_ns != 0;
    if (is_clogged(progress, now_ns) && copy.due_ns < progress->clog_release_ns) {
        copy.due_ns = progress->clog_release_ns++;
        copy.is_late = true;
        fates->counters.impaired_clogged++;
    }
    return copy;
}

bool fates_draw(struct fates *fates, const struct net_frame *frame,
                enum net_impair_direction direction, uint64_t now_ns, struct fate *fate)
{
    uint32_t which = match(fates, frame, direction);
    if (which == fates->rule_count) {
        return true;
    }
    const struct net_impair_rule *rule = &fates->rules[which];
    struct fate_progress *progress = &fates->progress[which];
    *fate = (struct fate){.lost = is_lost(fates, rule, progress)};
    if (fate->lost) {
        return false;
    }
    if (!is_clogged(progress, now_ns) && chance(fates, rule->clog_ppm)) {
        progress->clog_release_ns = now_ns + rule->clog_ns;
    }
    fate->doubled = chance(fates, rule->duplicate_ppm);
    fate->copies[0] = draw_copy(fates, rule, progress, now_ns);
    if (fate->doubled) {
        fate->copies[1] = draw_copy(fates, rule, progress, now_ns);
    }
    return !fate->doubled && !fate->copies[0].is_late && !fate->copies[0].is_corrupted;
}

void fates_corrupt(struct fates *fates, uint8_t *data, uint32_t bytes)
{
    if (bytes == 0) {
        return;
    }
    uint64_t flips = 1 + 2 * prng_below(&fates->prng, (FLIPS_MAX + 1) / 2);
    for (uint64_t flip = 0; flip < flips; flip++) {
        uint64_t bit = prng_below(&fates->prng, 8 * (uint64_t)bytes);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    fates->counters.impaired_corrupted++;
}
