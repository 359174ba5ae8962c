// Frames on their way out. At most one is open; messages of all groups with the same node and class
// share it. What the driver does not take waits here, and while much waits nothing new is built.
#include "engine/client/internal.h"

static void send_pending(struct client *client)
{
    struct frames *frames = &client->frames;
    if (frames->pending_count == 0) {
        return;
    }
    struct net *net = client->config.net;
    uint32_t sent = net->ops->send(net, frames->pending, frames->pending_count);
    client->counters.frames_out += sent;
    client->was_busy |= sent > 0;
    frames->pending_count -= sent;
    for (uint32_t at = 0; at < frames->pending_count && sent > 0; at++) {
        frames->pending[at] = frames->pending[at + sent];
    }
}

static void seal(struct client *client)
{
    struct frames *frames = &client->frames;
    frames->is_open = false;
    if (frames->writer.messages == 0) {
        client->config.net->ops->release(client->config.net, &frames->open, 1);
        return;
    }
    frames->open.bytes = wire_seal(&frames->writer);
    frames->pending[frames->pending_count++] = frames->open;
}

static struct wire_writer *open_frame(struct client *client, uint32_t place, uint8_t class)
{
    struct frames *frames = &client->frames;
    struct net *net = client->config.net;
    struct net_endpoint remote;
    if (frames->pending_count == TX_PENDING_MAX) {
        send_pending(client);
    }
    if (frames->pending_count == TX_PENDING_MAX || frames->budget == 0 ||
        !net->ops->locate(net, client->config.nodes[place], class, &remote) ||
        net->ops->acquire(net, remote.link, NET_USE_PEER, &frames->open, 1) == 0) {
        return NULL;
    }
    const struct wire_envelope envelope = {.cluster = client->config.cluster,
                                           .source = WIRE_CLIENT,
                                           .destination = client->config.nodes[place],
                                           .class = class};
    frames->open.remote = remote;
    frames->budget--;
    frames->place = place;
    frames->class = class;
    frames->is_open = true;
    wire_begin(&frames->writer, frames->open.data, frames->open.capacity, &envelope);
    return &frames->writer;
}

// The open frame for this node and group (opened if need be), or NULL: no buffer, no route, or
// enough for this poll.
struct wire_writer *frames_writer(struct client *client, uint32_t place, uint16_t group)
{
    struct frames *frames = &client->frames;
    uint8_t class = (uint8_t)(group % WIRE_CLASSES);
    if (frames->is_open && frames->place == place && frames->class == class) {
        return &frames->writer;
    }
    return frames_next(client, place, group);
}

// Seals what is open and opens another.
struct wire_writer *frames_next(struct client *client, uint32_t place, uint16_t group)
{
    if (client->frames.is_open) {
        seal(client);
    }
    return open_frame(client, place, (uint8_t)(group % WIRE_CLASSES));
}

void frames_flush(struct client *client)
{
    if (client->frames.is_open) {
        seal(client);
    }
    send_pending(client);
}
