// What the cluster's answers mean: for a piece, its request, and the volume's writer.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "drivers/nbdkit/internal.h"

static void on_attached(struct volume *volume, const struct pontoon_result *result)
{
    if (result->status == PONTOON_DONE && result->value == BLOCK_OK) {
        volume->attachment = ATTACHED;
        return;
    }
    if (result->status == PONTOON_DONE && result->value == BLOCK_FENCED) {
        volume->attachment = FENCED; // fail_if_fenced() tells those who wait
        return;
    }
    volume->attachment = DETACHED;
    if (result->status != PONTOON_EXPIRED) {
        request_fail_changes(volume, -EIO,
                             result->status == PONTOON_DONE
                                 ? block_command_result_name(result->value)
                                 : "no answer in time");
    }
}

static void on_result(struct piece *piece, uint32_t value)
{
    struct volume *volume = piece->volume;
    switch ((enum block_result)value) {
    case BLOCK_OK:
        piece_finish(piece, 0, NULL);
        break;
    case BLOCK_FENCED:
        if (piece->writer != volume->writer) {
            piece_repeat(piece); // by ourselves, under another number
            break;
        }
        volume->attachment = FENCED;
        piece_finish(piece, -EROFS, block_command_result_name(value));
        break;
    case BLOCK_BEYOND:
        piece_finish(piece, -ENOSPC, block_command_result_name(value));
        break;
    case BLOCK_UNALIGNED:
        piece_finish(piece, -EINVAL, block_command_result_name(value));
        break;
    case BLOCK_MALFORMED:
    case BLOCK_NO_VOLUME:
    case BLOCK_DIFFERENT:
    case BLOCK_TOO_LARGE:
        piece_finish(piece, -EIO, block_command_result_name(value));
        break;
    }
}

// Nobody knows what becomes of it. From here on whatever is sent under this writer's number is
// fenced by the next.
static void on_unknown(struct piece *piece)
{
    struct volume *volume = piece->volume;
    if (request_is_change(piece->kind) && piece->writer == volume->writer &&
        volume->attachment == ATTACHED) {
        volume->attachment = DETACHED;
        volume->previous = volume->writer;
        volume->writer = volume_draw_writer();
    }
    piece_finish(piece, -EIO, "no answer in time");
}

void answer_to_command(void *context, const struct pontoon_result *result)
{
    struct piece *piece = context;
    if (piece->kind == VOLUME_ATTACH) {
        piece_free(piece);
        on_attached(piece->volume, result);
        return;
    }
    switch (result->status) {
    case PONTOON_DONE:
        on_result(piece, result->value);
        break;
    case PONTOON_EXPIRED: // whatever is left of it is refused: it may be sent in another session
    case PONTOON_NOT_LEADER:
    case PONTOON_BUSY:
    case PONTOON_OUTSIDE_WINDOW:
        piece_repeat(piece);
        break;
    case PONTOON_INVALID:
        piece_finish(piece, -EIO, "refused by the cluster");
        break;
    case PONTOON_UNKNOWN:
    case PONTOON_FAILED:
        on_unknown(piece);
        break;
    }
}

static void on_bad_block(struct piece *piece, const void *answer, int32_t bytes)
{
    char what[VOLUME_REASON_BYTES];
    uint64_t block = BLOCK_NONE;
    if (bytes == sizeof(block)) {
        memcpy(&block, answer, sizeof(block));
    }
    if (block == BLOCK_NONE) { // it was mended meanwhile
        piece->is_check = false;
        piece_repeat(piece);
        return;
    }
    snprintf(what, sizeof(what),
             "block %" PRIu64 " (byte %" PRIu64 ") does not match its checksum on the leader",
             block, block * piece->volume->info.block_bytes);
    piece_finish(piece, -EIO, what);
}

// May an answer have this size?
static bool is_size_of(const struct piece *piece, uint32_t bytes)
{
    bool is_map = piece->kind == VOLUME_MAP;
    return is_map ? bytes % 4 == 0 && bytes <= sizeof(struct volume_map) : bytes == piece->bytes;
}

static void on_read(struct piece *piece, const void *answer, int32_t bytes)
{
    struct request *request = piece->request;
    if (bytes == -EBADMSG && !piece->is_check) {
        piece->is_check = true;
        piece_repeat(piece);
    } else if (piece->kind == VOLUME_INFO && bytes != BLOCK_INFO_BYTES) {
        piece_finish(piece, -EINVAL,
                     "the group has no volumes: its nodes run another app than block");
    } else if (bytes < 0) {
        piece_finish(piece, bytes == -EINVAL || bytes == -ERANGE ? -EINVAL : -EIO,
                     bytes == -ENOENT ? "no volume was created yet" : strerror(-bytes));
    } else if (piece->is_check) {
        on_bad_block(piece, answer, bytes);
    } else if (!is_size_of(piece, (uint32_t)bytes)) {
        piece_finish(piece, -EIO, "an answer of another size than asked for");
    } else {
        if (request != NULL) {
            memcpy(request->data + (piece->offset - request->offset), answer, (size_t)bytes);
        }
        piece_finish(piece, 0, NULL);
    }
}

void answer_to_query(void *context, enum pontoon_status status, const void *answer, int32_t bytes)
{
    struct piece *piece = context;
    if (status == PONTOON_UNKNOWN) {
        piece_finish(piece, -EIO, "no answer in time");
    } else if (status != PONTOON_DONE) {
        piece_finish(piece, -EIO, "refused by the cluster");
    } else {
        on_read(piece, answer, bytes);
    }
}
