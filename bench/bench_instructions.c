// Instructions an entry costs at the leader and at a follower: three reactors in one process and a
// scripted client, to be run under `valgrind --tool=callgrind --toggle-collect=leader_turn` (or
// follower_turn). Everything is deterministic: twice the entries minus once the entries is what
// those entries cost, start and elections excluded (instructions.sh does the subtraction).
//
//     client ──▶ leader ──▶ followers ──▶ leader ──▶ client      one turn; 10 µs of the false clock
#include "bench/harness/options.h"
#include "bench/report/result.h"
#include "bench/virtual/world.h"
#include "drivers/app_null/app_null.h"

#include <string.h>

struct script {
    struct virtual_world world;
    uint64_t bytes, entries, frames; // of a payload; in all; the client sends in a turn at most
    uint64_t batch;                  // entries of such a frame, at most
    uint64_t keys;                   // commands name one of so many in turn; 0: none
    uint64_t proposed, answered;
    uint8_t payloads[WIRE_ENTRIES_MAX][VIRTUAL_PAYLOAD_BYTES_MAX];
};

// What callgrind is told to count; never inlined, so that it finds them by name.
void leader_turn(struct reactor *reactor);
void follower_turn(struct reactor *reactor);

__attribute__((noinline, used)) void leader_turn(struct reactor *reactor)
{
    reactor_poll(reactor, NULL);
}

__attribute__((noinline, used)) void follower_turn(struct reactor *reactor)
{
    reactor_poll(reactor, NULL);
}

// Only one follower goes through follower_turn: the other does the same.
static void poll_followers(struct virtual_world *world)
{
    uint32_t counted = world->leader == 0 ? 1 : 0;
    for (uint32_t place = 0; place < VIRTUAL_NODES; place++) {
        if (place == counted) {
            follower_turn(world->reactors[place]);
        } else if (place != world->leader) {
            reactor_poll(world->reactors[place], NULL);
        }
    }
}

static void send_commands(struct script *script)
{
    struct raft_entry_head heads[WIRE_ENTRIES_MAX];
    const void *payloads[WIRE_ENTRIES_MAX];
    for (uint64_t at = 0; at < script->frames && script->proposed < script->entries; at++) {
        uint64_t left = script->entries - script->proposed;
        uint32_t count = left < script->batch ? (uint32_t)left : (uint32_t)script->batch;
        for (uint32_t i = 0; i < count; i++) {
            heads[i] = (struct raft_entry_head){.client = script->world.session,
                                                .sequence = script->proposed + 1 + i,
                                                .bytes = (uint32_t)script->bytes,
                                                .kind = RAFT_ENTRY_COMMAND};
            if (script->keys != 0) {
                app_null_name_key(script->payloads[i], (script->proposed + i) % script->keys);
            }
            heads[i].crc = raft_entry_crc(&heads[i], script->payloads[i]);
            payloads[i] = script->payloads[i];
        }
        uint32_t put = virtual_propose(&script->world, heads, payloads, count);
        if (put == 0) {
            return;
        }
        script->proposed += put;
    }
}

static void count_answer(void *context, const struct wire_result *result)
{
    if (result->status != WIRE_DONE) {
        virtual_give_up("a command was refused");
    }
    ((struct script *)context)->answered++;
}

static uint64_t run(struct script *script)
{
    struct virtual_world *world = &script->world;
    uint64_t turns = 0;
    for (; script->answered < script->entries; turns++) {
        world->now_ns += VIRTUAL_TURN_NS;
        send_commands(script);
        leader_turn(world->reactors[world->leader]);
        poll_followers(world);
        leader_turn(world->reactors[world->leader]);
        virtual_take_answers(world, count_answer, script);
        if (turns > script->entries + 1000) {
            virtual_give_up("answers stay away");
        }
    }
    return turns;
}

int main(int argc, char **argv)
{
    static struct script script = {
        .bytes = 64, .entries = 20000, .frames = 8, .batch = WIRE_ENTRIES_MAX};
    static const char *const orders[] = {"strict", "parallel", NULL};
    const char *json_path = NULL;
    uint64_t order = 0, lose = 0;
    const struct option_row rows[] = {
        {"entries", OPTION_NUMBER, &script.entries, 1, 100000000, NULL, "committed and applied"},
        {"bytes", OPTION_NUMBER, &script.bytes, 0, VIRTUAL_PAYLOAD_BYTES_MAX, NULL,
         "payload of an entry"},
        {"frames", OPTION_NUMBER, &script.frames, 1, 32, NULL, "the client sends in a turn"},
        {"batch", OPTION_NUMBER, &script.batch, 1, WIRE_ENTRIES_MAX, NULL,
         "entries of such a frame at most"},
        {"order", OPTION_CHOICE, &order, 0, 0, orders, "of the group"},
        {"keys", OPTION_NUMBER, &script.keys, 0, 1000000, NULL, "that commands name; 0: none"},
        {"lose", OPTION_NUMBER, &lose, 0, 1000000, NULL,
         "every so many-th frame between nodes is lost; 0: none"},
        {"json", OPTION_TEXT, &json_path, 0, 0, NULL, "file for the result as JSON"},
    };
    options_parse(rows, sizeof(rows) / sizeof(rows[0]),
                  "a scripted run of three reactors, for callgrind", argc, argv);
    if (script.keys != 0 && script.bytes < APP_NULL_KEYED_BYTES) {
        virtual_give_up("--keys needs 16 bytes");
    }
    const struct virtual_options options = {.order = order == 0 ? RAFT_ORDER_STRICT
                                                                : RAFT_ORDER_PARALLEL,
                                            .frame_bytes = VIRTUAL_FRAME_BYTES,
                                            .lose_every = lose,
                                            .seed = 1};
    virtual_open(&script.world, &options);
    virtual_begin(&script.world);
    uint64_t turns = run(&script);
    struct reactor_counters leader;
    reactor_counters(script.world.reactors[script.world.leader], &leader);
    struct result result;
    result_init(&result, argc, argv);
    result_add_count(&result, "bytes", script.bytes);
    result_add_count(&result, "entries", script.entries);
    result_add_text(&result, "order", orders[order]);
    result_add_count(&result, "turns", turns);
    result_add_count(&result, "frames_between_nodes", script.world.between_nodes);
    result_add_count(&result, "leader_applied", leader.applied);
    result_add_count(&result, "leader_entries_out", leader.entries_out);
    return result_finish(&result, NULL, json_path, NULL);
}
