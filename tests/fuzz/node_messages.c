// What comes to the node of fuzz_node over the network: messages of both peers and of clients, in
// sealed frames, so that they get past the checksum.
#include "tests/fuzz/node.h"

struct sender {
    uint16_t from; // WIRE_CLIENT: a client
    uint16_t group;
    bool intact, has_room;
    uint64_t boot;
};

static struct sample sample; // the message being made

static struct sender read_sender(struct fuzz_input *input, bool is_client)
{
    uint8_t bits = fuzz_u8(input);
    return (struct sender){.from = is_client         ? WIRE_CLIENT
                                   : (bits & 1) != 0 ? 3
                                                     : 1,
                           .group = (bits >> 1) & 1,
                           .intact = !is_client && (bits & 4) == 0,
                           .has_room = !is_client && (bits & 32) == 0,
                           .boot = is_client ? 0 : 1 + ((bits >> 3) & 3)};
}

static void send_frame(const struct sender *sender, const uint8_t *frame, uint32_t bytes)
{
    struct net_endpoint remote = seat_client(sender->group);
    if (sender->from != WIRE_CLIENT) {
        node.seat->net.ops->locate(&node.seat->net, sender->from, 0, &remote);
    }
    seat_deliver(node.seat, &remote, frame, bytes);
}

static struct wire_envelope envelope_of(const struct sender *sender)
{
    return (struct wire_envelope){.cluster = SEAT_CLUSTER,
                                  .boot = sender->boot,
                                  .source = sender->from,
                                  .destination = NODE_SELF,
                                  .class = (uint8_t)sender->group};
}

static void send_message(const struct sender *sender, struct wire_message *message)
{
    uint8_t frame[SEAT_FRAME_BYTES];
    const struct wire_envelope envelope = envelope_of(sender);
    struct wire_writer writer;
    message->group = sender->group;
    message->intact = sender->intact;
    message->has_room = sender->has_room;
    message->is_parallel = node.is_parallel && message->type <= WIRE_APPEND_FRAGMENT;
    if (message->type <= RAFT_MSG_FETCH) {
        message->raft.is_parallel = message->is_parallel;
        message->raft.type = (enum raft_message_type)message->type;
        message->raft.term = message->term;
        message->raft.intact = sender->intact;
        message->raft.has_room = sender->has_room;
    }
    wire_begin(&writer, frame, sizeof(frame), &envelope);
    if (sample_put(&writer, message)) {
        send_frame(sender, frame, wire_seal(&writer));
    }
}

void node_do_message(struct fuzz_input *input)
{
    struct sender sender = read_sender(input, false);
    struct wire_message *message = &sample.message;
    uint16_t group = sender.group;
    uint8_t type = (uint8_t)(1 + fuzz_u8(input) % (node.is_parallel ? 7 : 6));
    *message = (struct wire_message){.type = type < 7 ? type : RAFT_MSG_FETCH};
    message->term = node_read_term(input, group);
    if (message->type == RAFT_MSG_PRE_VOTE || message->type == RAFT_MSG_VOTE) {
        node_read_vote(input, &message->raft.vote.last, group, message->term);
    } else if (message->type == RAFT_MSG_PRE_VOTE_REPLY || message->type == RAFT_MSG_VOTE_REPLY) {
        message->raft.vote_reply.granted = fuzz_u8(input) % 4 != 3;
        if (node.is_parallel && message->type == RAFT_MSG_VOTE_REPLY &&
            message->raft.vote_reply.granted) {
            node_read_report(input, &message->raft.vote_reply.report, group, message->term);
        }
    } else if (message->type == RAFT_MSG_FETCH) {
        node_read_fetch(input, &message->raft.fetch, group);
    } else if (message->type == RAFT_MSG_APPEND) {
        uint32_t count = fuzz_u8(input) & NODE_ENTRIES_MAX;
        node_read_append(input, &sample, &message->raft.append, group, count);
        node_read_entries(input, &sample, group, count);
        message->raft.append.heads = sample.heads;
        message->payloads = sample.payloads;
    } else {
        node_read_append_reply(input, &message->raft.append_reply, group, message->term);
    }
    send_message(&sender, message);
}

void node_do_fragment(struct fuzz_input *input)
{
    struct sender sender = read_sender(input, false);
    sample.message = (struct wire_message){.type = WIRE_APPEND_FRAGMENT};
    sample.message.term = node_read_term(input, sender.group);
    node_read_append(input, &sample, &sample.message.fragment.append, sender.group, 1);
    node_read_fragment(input, &sample, sender.group);
    send_message(&sender, &sample.message);
}

// What a peer that is ahead could offer to this node.
void node_do_take_checkpoint(struct fuzz_input *input)
{
    struct group *group = node_group(fuzz_u8(input) & 1);
    struct stream_out out = {0};
    struct raft_beyond beyond;
    if (group->is_paused || group->jobs_out > 0 || group->snapshot.is_building) {
        return;
    }
    raft_applied_beyond(group->raft, &beyond);
    stream_begin(&out, group, &beyond);
    node.stream_bytes = 0;
    int64_t got;
    while ((got = stream_read(&out, node.stream + node.stream_bytes,
                              sizeof(node.stream) - node.stream_bytes)) > 0) {
        node.stream_bytes += (uint32_t)got;
    }
    stream_end(&out);
}

// Parts of a checkpoint: of the one taken by node_do_take_checkpoint, or of zeros.
void node_do_snapshot(struct fuzz_input *input)
{
    struct sender sender = read_sender(input, false);
    struct wire_snapshot *part = &sample.message.snapshot;
    sample.message = (struct wire_message){.type = WIRE_SNAPSHOT};
    sample.message.term = node_read_term(input, sender.group);
    part->last = node_read_place(input, sender.group, sample.message.term);
    part->last.index += part->last.index == 0;
    part->last.term += part->last.term == 0;
    uint8_t bits = fuzz_u8(input);
    part->total_bytes =
        (bits & 1) != 0 ? fuzz_near(input, node.stream_bytes, RAFT_INDEX_MAX) : node.stream_bytes;
    part->offset = (bits >> 1) * UINT64_C(1000);
    part->offset = part->offset < part->total_bytes ? part->offset : part->total_bytes;
    uint64_t left = part->total_bytes - part->offset;
    part->bytes = left < 1000 ? (uint32_t)left : 1000;
    part->data = part->offset + part->bytes <= sizeof(node.stream) ? node.stream + part->offset
                                                                   : node.stream;
    send_message(&sender, &sample.message);
}

void node_do_snapshot_reply(struct fuzz_input *input)
{
    struct sender sender = read_sender(input, false);
    struct snapshot *snapshot = &node_group(sender.group)->snapshot;
    struct wire_snapshot_reply *reply = &sample.message.snapshot_reply;
    sample.message = (struct wire_message){.type = WIRE_SNAPSHOT_REPLY};
    sample.message.term = node_read_term(input, sender.group);
    uint8_t bits = fuzz_u8(input);
    reply->last = (bits & 1) != 0 || snapshot->covers.index == 0
                      ? node_read_place(input, sender.group, sample.message.term)
                      : snapshot->covers;
    reply->last.index += reply->last.index == 0;
    reply->last.term += reply->last.term == 0;
    reply->installed = (bits & 2) != 0;
    reply->received_bytes = fuzz_near(input, snapshot->bytes, RAFT_INDEX_MAX);
    send_message(&sender, &sample.message);
}

void node_do_propose(struct fuzz_input *input)
{
    struct sender sender = read_sender(input, true);
    uint32_t count = 1 + (fuzz_u8(input) & NODE_ENTRIES_MAX);
    sample.message = (struct wire_message){.type = WIRE_PROPOSE};
    node_read_entries(input, &sample, sender.group, count);
    sample.message.propose = (struct wire_propose){.count = count,
                                                   .heads = sample.heads,
                                                   .payloads = sample.payloads,
                                                   .payload_bytes = sample.message.payload_bytes};
    send_message(&sender, &sample.message);
}

void node_do_ask(struct fuzz_input *input)
{
    struct sender sender = read_sender(input, true);
    uint8_t what = fuzz_u8(input);
    sample.message = (struct wire_message){.type = WIRE_STATUS};
    if (what % 4 == 0) {
        sample.message.status.want_digest = (what & 4) != 0;
    } else if (what % 4 == 1) {
        sample.message.type = WIRE_PROPOSE_FRAGMENT;
        node_read_fragment(input, &sample, sender.group);
    } else {
        sample.message.type = WIRE_READ;
        sample.message.read.bytes = fuzz_u8(input);
        sample.message.read.query = fuzz_take(input, &sample.message.read.bytes);
    }
    send_message(&sender, &sample.message);
}

// Bytes of the input as messages, the envelope put right.
void node_do_raw(struct fuzz_input *input)
{
    uint8_t frame[WIRE_ENVELOPE_BYTES + 256];
    uint8_t bits = fuzz_u8(input);
    struct sender sender = read_sender(input, (bits & 1) != 0);
    uint32_t bytes = fuzz_u8(input);
    const uint8_t *data = fuzz_take(input, &bytes);
    const struct wire_envelope envelope = envelope_of(&sender);
    struct wire_writer writer;
    wire_begin(&writer, frame, sizeof(frame), &envelope);
    memcpy(frame + WIRE_ENVELOPE_BYTES, data, bytes);
    writer.bytes += bytes;
    writer.messages = (uint16_t)(1 + (bits >> 6));
    send_frame(&sender, frame, wire_seal(&writer));
}
