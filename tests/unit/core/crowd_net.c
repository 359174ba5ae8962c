// The network: what is sent may be lost, doubled, reordered, late, and come again much later.
#include "tests/unit/core/crowd.h"

#include "tests/unit/core/replica.h"

#include <stdlib.h>
#include <string.h>

enum { MAIL_MAX = 512, OLD_MAIL_MAX = 256 };

struct mail {
    struct raft_message message;
    struct raft_entry_head heads[CROWD_FRAME_ENTRIES_MAX];
    uint16_t distances[CROWD_FRAME_ENTRIES_MAX];
    bool is_checkpoint;
    uint64_t due;
};

static struct {
    struct mail *mails;
    uint32_t count;
    struct mail *old; // what was sent at any time
    uint64_t old_count;
} net;

void crowd_net_open(void)
{
    net.mails = calloc(MAIL_MAX, sizeof(*net.mails));
    net.old = calloc(OLD_MAIL_MAX, sizeof(*net.old));
    CHECK(net.mails != NULL && net.old != NULL);
}

void crowd_net_close(void)
{
    free(net.mails);
    free(net.old);
}

void crowd_net_begin(void)
{
    net.count = 0;
    net.old_count = 0;
    memset(net.old, 0, OLD_MAIL_MAX * sizeof(*net.old));
}

static void enclose(struct mail *mail, const struct raft_message *message)
{
    mail->message = *message;
    const struct raft_append *append = &message->append;
    if (message->type != RAFT_MSG_APPEND || append->count == 0) {
        return;
    }
    memcpy(mail->heads, append->heads, append->count * sizeof(mail->heads[0]));
    if (append->distances != NULL) {
        memcpy(mail->distances, append->distances, append->count * sizeof(mail->distances[0]));
    }
}

static void post(const struct raft_message *message, bool is_checkpoint)
{
    bool is_cut =
        ((crowd.cut >> (message->from - 1)) & 1) != ((crowd.cut >> (message->to - 1)) & 1);
    if (is_cut || crowd_chance(crowd.rough.loss_percent)) {
        return;
    }
    struct mail *old = &net.old[net.old_count++ % OLD_MAIL_MAX];
    if (!is_checkpoint && crowd_chance(20)) {
        enclose(old, message);
    }
    for (uint32_t copy = 0; copy < 1 + (crowd_chance(2) ? 1U : 0U) && net.count < MAIL_MAX;
         copy++) {
        struct mail *mail = &net.mails[net.count++];
        enclose(mail, message);
        mail->is_checkpoint = is_checkpoint;
        bool is_late = crowd_chance(crowd.rough.late_percent);
        mail->due = crowd.now + crowd_below(is_late ? crowd.rough.late_ns : CROWD_TICK_NS);
    }
}

void crowd_net_post(const struct raft_message *message)
{
    CROWD_REQUIRE(replica_is_sound(message));
    post(message, false);
}

void crowd_net_post_entries(struct crowd_node *node, const struct raft_send *send)
{
    struct raft_range run;
    for (uint64_t first = send->range.first; raft_send_next(send, first, &run);) {
        first = run.first;
        struct raft_entry_head heads[CROWD_FRAME_ENTRIES_MAX];
        uint16_t distances[CROWD_FRAME_ENTRIES_MAX];
        struct raft_message message;
        raft_append_header(node->raft, send->to, first, &message);
        uint32_t count = 0, most = 1 + (uint32_t)crowd_below(3);
        for (; count < most && first + count <= run.last; count++) {
            const struct raft_entry *entry = raft_entry_at(node->raft, first + count);
            CROWD_REQUIRE(entry != NULL);
            heads[count] = entry->head;
        }
        message.append.count = count;
        message.append.heads = heads;
        message.append.entries_term = message.term; // (the stamp they get there)
        if (raft_append_tells(&message.append)) {
            raft_distances(node->raft, first, count, distances);
            message.append.distances = distances;
        }
        crowd_net_post(&message);
        first += count;
    }
}

// (The message only says who gives his to whom.)
void crowd_net_post_checkpoint(struct crowd_node *node, uint16_t to)
{
    const struct raft_message message = {.type = RAFT_MSG_APPEND, .from = crowd_id(node), .to = to};
    if (node->disk.checkpoint > 0 && crowd_chance(20)) {
        post(&message, true);
    }
}

void crowd_net_replay(void)
{
    struct mail *old = &net.old[crowd_below(OLD_MAIL_MAX)];
    if (old->message.type != 0 && net.count < MAIL_MAX) {
        net.mails[net.count] = *old;
        net.mails[net.count].is_checkpoint = false;
        net.mails[net.count++].due = crowd.now;
        crowd.counts.replays++;
    }
}

static void hand_over(struct mail *mail)
{
    struct crowd_node *node = &crowd.nodes[mail->message.to - 1];
    if (!node->is_up) {
        return;
    }
    if (mail->is_checkpoint) {
        crowd_checkpoint_install(&crowd.nodes[mail->message.from - 1], node);
        return;
    }
    struct raft_append *append = &mail->message.append;
    if (mail->message.type == RAFT_MSG_APPEND) {
        append->heads = mail->heads;
        append->distances = raft_append_tells(append) ? mail->distances : NULL;
    }
    const struct raft_input input = {.kind = RAFT_IN_MESSAGE, .message = &mail->message};
    crowd_step(node, &input);
}

void crowd_net_deliver(void)
{
    for (uint32_t at = 0; at < net.count;) {
        if (net.mails[at].due > crowd.now) {
            at++;
            continue;
        }
        static struct mail mail;
        mail = net.mails[at];
        net.mails[at] = net.mails[--net.count];
        hand_over(&mail);
    }
}
