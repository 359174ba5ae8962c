// Frames on their way out. Every destination has a lane with at most one open frame, which messages
// of all groups share; it is sealed when full or at the end of the poll iteration. What the driver
// does not take waits here, bounded; when that is full lanes give no writer, and senders cut their
// work short (nothing is ever assumed to be sent).
#include "engine/reactor/internal.h"

// Neither use may fill the room alone: large entries would starve clients of their answers, long
// answers would hold heartbeats up.
static bool is_stuffed(const struct reactor *reactor, enum net_use use)
{
    const struct outbox *outbox = &reactor->outbox;
    return outbox->pending_count + outbox->open_count >= TX_PENDING_MAX ||
           outbox->frames_of[use] >= TX_USE_MAX;
}

struct lane *lane_of_node(struct reactor *reactor, uint16_t node)
{
    for (uint32_t place = 0; place < reactor->config.node_count; place++) {
        if (reactor->config.nodes[place] == node) {
            return &reactor->peers[place];
        }
    }
    return NULL;
}

// Peers are found through the driver's table; clients answer where they asked from.
bool lane_locate(struct reactor *reactor, struct lane *lane)
{
    return lane->node == WIRE_CLIENT ||
           reactor->config.net->ops->locate(reactor->config.net, lane->node,
                                            (uint8_t)reactor->config.reactor, &lane->remote);
}

uint32_t lane_frame_bytes(struct reactor *reactor, const struct lane *lane)
{
    return reactor->config.net->ops->frame_bytes(reactor->config.net, lane->remote.link);
}

static void send_pending(struct reactor *reactor)
{
    struct outbox *outbox = &reactor->outbox;
    if (outbox->pending_count == 0) {
        return;
    }
    uint32_t sent =
        reactor->config.net->ops->send(reactor->config.net, outbox->pending, outbox->pending_count);
    for (uint32_t at = 0; at < sent; at++) {
        outbox->frames_of[outbox->pending_use[at]]--;
    }
    outbox->pending_count -= sent;
    for (uint32_t at = 0; at < outbox->pending_count && sent > 0; at++) {
        outbox->pending[at] = outbox->pending[at + sent];
        outbox->pending_use[at] = outbox->pending_use[at + sent];
    }
}

static void seal(struct reactor *reactor, struct lane *lane)
{
    struct outbox *outbox = &reactor->outbox;
    lane->is_open = false;
    if (lane->writer.messages == 0) {
        reactor->config.net->ops->release(reactor->config.net, &lane->frame, 1);
        outbox->frames_of[lane->use]--;
        return;
    }
    outbox->sealed++;
    lane->frame.bytes = wire_seal(&lane->writer);
    lane->frame.remote = lane->remote;
    ASSERT_CMP(outbox->pending_count, <, TX_PENDING_MAX);
    outbox->pending_use[outbox->pending_count] = (uint8_t)lane->use;
    outbox->pending[outbox->pending_count++] = lane->frame;
    if (outbox->pending_count == TX_PENDING_MAX) {
        send_pending(reactor);
    }
}

static bool open_frame(struct reactor *reactor, struct lane *lane)
{
    if (is_stuffed(reactor, lane->use)) {
        send_pending(reactor);
        if (is_stuffed(reactor, lane->use)) {
            return false;
        }
    }
    if (!lane_locate(reactor, lane)) {
        return false;
    }
    struct net *net = reactor->config.net;
    if (net->ops->acquire(net, lane->remote.link, lane->use, &lane->frame, 1) == 0) {
        return false;
    }
    const struct wire_envelope envelope = {.cluster = reactor->config.cluster,
                                           .boot = reactor->recovery.boot,
                                           .source = reactor->config.node,
                                           .destination = lane->node,
                                           .class = (uint8_t)reactor->config.reactor};
    wire_begin(&lane->writer, lane->frame.data, lane->frame.capacity, &envelope);
    lane->is_open = true;
    reactor->outbox.frames_of[lane->use]++;
    return true;
}

// The open frame of a lane (opened if need be), or NULL: no buffer, or the peer cannot be reached
// now.
struct wire_writer *lane_writer(struct reactor *reactor, struct lane *lane)
{
    if (!lane->is_open) {
        if (!open_frame(reactor, lane)) {
            return NULL;
        }
        reactor->outbox.open[reactor->outbox.open_count++] = lane;
    }
    return &lane->writer;
}

// Seals the open frame and opens another.
struct wire_writer *lane_next_frame(struct reactor *reactor, struct lane *lane)
{
    if (lane->is_open) {
        struct outbox *outbox = &reactor->outbox;
        for (uint32_t at = 0; at < outbox->open_count; at++) {
            if (outbox->open[at] == lane) {
                outbox->open[at] = outbox->open[--outbox->open_count];
                break;
            }
        }
        seal(reactor, lane);
    }
    return lane_writer(reactor, lane);
}

void outbox_flush(struct reactor *reactor)
{
    struct outbox *outbox = &reactor->outbox;
    while (outbox->open_count > 0) {
        seal(reactor, outbox->open[--outbox->open_count]);
    }
    send_pending(reactor);
}

void outbox_close(struct reactor *reactor)
{
    struct outbox *outbox = &reactor->outbox;
    struct net *net = reactor->config.net;
    while (outbox->open_count > 0) {
        net->ops->release(net, &outbox->open[--outbox->open_count]->frame, 1);
    }
    if (outbox->pending_count > 0) {
        net->ops->release(net, outbox->pending, outbox->pending_count);
    }
    outbox->pending_count = 0;
}
