// A group's state as a stream of bytes, out and in: what checkpoint files and snapshots carry.
//
//     u64 magic, u64 bytes of the session table, session table, state machine's stream, u32 CRC32C
//     of all before, u32 0
#include "engine/reactor/internal.h"

#include <string.h>

#include "engine/base/crc32c.h"

#define STREAM_MAGIC UINT64_C(0x314D5254534E5450) // "PTNSTRM1"

enum { STREAM_HEAD_BYTES = 16, STREAM_TAIL_BYTES = 8 };

void stream_begin(struct stream_out *stream, struct group *group)
{
    *stream = (struct stream_out){.group = group,
                                  .is_active = true,
                                  .session_bytes = session_checkpoint_bytes(group->sessions)};
    group->app->ops->checkpoint_begin(group->app);
}

// The next bytes of the stream, at least one (capacity ≥ 64): 0 when it is done, or -errno.
int64_t stream_read(struct stream_out *stream, void *buffer, uint64_t capacity)
{
    uint8_t *out = buffer;
    int64_t count = 0;
    if (stream->bytes == 0) {
        uint64_t head[2] = {STREAM_MAGIC, stream->session_bytes};
        memcpy(out, head, sizeof(head));
        count = STREAM_HEAD_BYTES;
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

// Complete, undamaged, and one of our streams?
bool stream_is_whole(const uint8_t *data, uint64_t bytes)
{
    uint64_t head[2];
    uint32_t crc;
    if (bytes < STREAM_HEAD_BYTES + STREAM_TAIL_BYTES) {
        return false;
    }
    memcpy(head, data, sizeof(head));
    memcpy(&crc, data + bytes - STREAM_TAIL_BYTES, sizeof(crc));
    return head[0] == STREAM_MAGIC && head[1] <= bytes - STREAM_HEAD_BYTES - STREAM_TAIL_BYTES &&
           crc32c(0, data, bytes - STREAM_TAIL_BYTES) == crc;
}

// Replaces the group's sessions and state by those of a whole stream. -EBADMSG: another version or
// other limits; the state is empty then.
int stream_restore(struct group *group, const uint8_t *data, uint64_t bytes)
{
    uint64_t head[2];
    memcpy(head, data, sizeof(head));
    uint64_t content = bytes - STREAM_HEAD_BYTES - STREAM_TAIL_BYTES;
    const uint8_t *sessions = data + STREAM_HEAD_BYTES;
    session_restore_begin(group->sessions);
    int error = session_restore_write(group->sessions, sessions, head[1]);
    int end = session_restore_end(group->sessions);
    error = error != 0 ? error : end;
    error = error != 0 ? error : group->app->ops->restore_begin(group->app);
    error = error != 0
                ? error
                : group->app->ops->restore_write(group->app, sessions + head[1], content - head[1]);
    return error != 0 ? error : group->app->ops->restore_end(group->app);
}
