// A group's state as a stream of bytes, out and in: what checkpoint files and snapshots carry.
//
//     u64 magic, u64 bytes of the session table, [u64 count, count bits in whole words,] session
//     table, state machine's stream, u32 CRC32C of all before, u32 0
//
// The bits are there, and said to be by another magic, where a parallel group's state holds entries
// beyond its floor (struct raft_beyond): a hole may not be filled before somebody who needs this
// very checkpoint has it.
#include "engine/reactor/internal.h"

#include <string.h>

#include "engine/base/bitmap.h"
#include "engine/base/crc32c.h"

#define STREAM_MAGIC UINT64_C(0x314D5254534E5450)        // "PTNSTRM1"
#define STREAM_MAGIC_BEYOND UINT64_C(0x324D5254534E5450) // "PTNSTRM2"

enum {
    STREAM_HEAD_BYTES = 16,
    STREAM_TAIL_BYTES = 8,
};

static_assert(STREAM_HEAD_BYTES + 8 + RAFT_WINDOW_MAX / 8 <= STREAM_READ_BYTES_MIN,
              "a head is written at once");

static uint64_t beyond_bytes(const struct raft_beyond *beyond)
{
    return beyond->count == 0 ? 0 : 8 + bitmap_words(beyond->count) * sizeof(uint64_t);
}

// beyond: what the state holds beyond its floor.
void stream_begin(struct stream_out *stream, struct group *group, const struct raft_beyond *beyond)
{
    *stream = (struct stream_out){.group = group,
                                  .is_active = true,
                                  .beyond = *beyond,
                                  .session_bytes = session_checkpoint_bytes(group->sessions)};
    group->app->ops->checkpoint_begin(group->app);
}

static int64_t write_head(const struct stream_out *stream, uint8_t *out)
{
    const struct raft_beyond *beyond = &stream->beyond;
    uint64_t bytes = beyond_bytes(beyond), count = beyond->count;
    uint64_t head[2] = {bytes == 0 ? STREAM_MAGIC : STREAM_MAGIC_BEYOND, stream->session_bytes};
    memcpy(out, head, sizeof(head));
    if (bytes > 0) {
        memcpy(out + sizeof(head), &count, sizeof(count));
        memcpy(out + sizeof(head) + sizeof(count), beyond->bits, bytes - sizeof(count));
    }
    return (int64_t)(sizeof(head) + bytes);
}

// The next bytes of the stream, at least one (capacity ≥ STREAM_READ_BYTES_MIN): 0 when it is done,
// or -errno.
int64_t stream_read(struct stream_out *stream, void *buffer, uint64_t capacity)
{
    uint8_t *out = buffer;
    int64_t count = 0;
    if (stream->bytes == 0) {
        count = write_head(stream, out);
    } else if (stream->session_offset < stream->session_bytes) {
        count = (int64_t)session_checkpoint_read(stream->group->sessions, stream->session_offset,
                                                 out, capacity);
        stream->session_offset += (uint64_t)count;
    } else if (!stream->is_app_done) {
        count = stream->group->app->ops->checkpoint_read(stream->group->app, out, capacity);
        if (count < 0) {
            return count;
        }
        if (count == 0) {
            stream->is_app_done = true;
            uint32_t tail[2] = {stream->crc, 0};
            memcpy(out, tail, sizeof(tail));
            count = STREAM_TAIL_BYTES;
        }
    } else {
        return 0;
    }
    stream->crc = crc32c(stream->crc, out, (size_t)count);
    stream->bytes += (uint64_t)count;
    return count;
}

void stream_end(struct stream_out *stream)
{
    if (stream->is_active) {
        stream->group->app->ops->checkpoint_end(stream->group->app);
        stream->is_active = false;
    }
}

struct stream_head {
    uint64_t bytes;
    uint64_t session_bytes;
    struct raft_beyond beyond;
};

// Could a group's state be this much beyond its floor? Just as a core says it.
static bool is_sound(const struct group *group, const struct raft_beyond *beyond)
{
    uint32_t last = beyond->count - 1;
    return is_parallel(group) && bitmap_test(beyond->bits, last) &&
           bitmap_count(beyond->bits, last, RAFT_WINDOW_MAX) == 1;
}

static bool read_head(const struct group *group, const uint8_t *data, uint64_t bytes,
                      struct stream_head *head)
{
    uint64_t words[2], count = 0;
    *head = (struct stream_head){.bytes = STREAM_HEAD_BYTES};
    memcpy(words, data, sizeof(words));
    head->session_bytes = words[1];
    if (words[0] != STREAM_MAGIC_BEYOND) {
        return words[0] == STREAM_MAGIC;
    }
    if (bytes < STREAM_HEAD_BYTES + sizeof(count)) {
        return false;
    }
    memcpy(&count, data + STREAM_HEAD_BYTES, sizeof(count));
    if (count == 0 || count > RAFT_WINDOW_MAX) {
        return false;
    }
    head->beyond.count = (uint32_t)count;
    head->bytes += beyond_bytes(&head->beyond);
    if (bytes < head->bytes) {
        return false;
    }
    memcpy(head->beyond.bits, data + STREAM_HEAD_BYTES + sizeof(count),
           head->bytes - STREAM_HEAD_BYTES - sizeof(count));
    return is_sound(group, &head->beyond);
}

// Complete, undamaged, and a stream that this group could have made?
bool stream_is_whole(const struct group *group, const uint8_t *data, uint64_t bytes)
{
    struct stream_head head;
    uint32_t crc;
    if (bytes < STREAM_HEAD_BYTES + STREAM_TAIL_BYTES) {
        return false;
    }
    memcpy(&crc, data + bytes - STREAM_TAIL_BYTES, sizeof(crc));
    return crc32c(0, data, bytes - STREAM_TAIL_BYTES) == crc &&
           read_head(group, data, bytes, &head) && bytes >= head.bytes + STREAM_TAIL_BYTES &&
           head.session_bytes <= bytes - head.bytes - STREAM_TAIL_BYTES;
}

// Do the bitmaps of the group reach as far as the whole stream's state?
bool stream_fits(const struct group *group, const uint8_t *data, uint64_t bytes)
{
    struct stream_head head;
    return read_head(group, data, bytes, &head) &&
           head.beyond.count <= group->reactor->config.log_entries;
}

static int restore(struct group *group, const struct stream_head *head, const uint8_t *data,
                   uint64_t bytes)
{
    uint64_t state_bytes = bytes - head->bytes - head->session_bytes - STREAM_TAIL_BYTES;
    const uint8_t *sessions = data + head->bytes, *state = sessions + head->session_bytes;
    session_restore_begin(group->sessions);
    int error = session_restore_write(group->sessions, sessions, head->session_bytes);
    int end = session_restore_end(group->sessions);
    error = error != 0 ? error : end;
    error = error != 0 ? error : group->app->ops->restore_begin(group->app);
    error = error != 0 ? error : group->app->ops->restore_write(group->app, state, state_bytes);
    return error != 0 ? error : group->app->ops->restore_end(group->app);
}

// Replaces the group's sessions and state by those of a whole stream that fits; what that holds
// beyond its floor is in group->restored. -EBADMSG: another version or other limits; the state is
// empty then.
int stream_restore(struct group *group, const uint8_t *data, uint64_t bytes)
{
    struct stream_head head;
    bool is_ours = read_head(group, data, bytes, &head);
    ASSERT(is_ours);
    int error = restore(group, &head, data, bytes);
    group->restored = error == 0 ? head.beyond : (struct raft_beyond){0};
    return error;
}
