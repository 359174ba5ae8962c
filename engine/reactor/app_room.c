#include "engine/reactor/app_room.h"

#include "engine/core/types.h"

void app_room_forget(struct app_room *room)
{
    *room = (struct app_room){.is_valid = false};
}

bool app_room_fits(struct app_room *room, uint64_t last, uint64_t left, uint64_t bytes,
                   uint32_t count)
{
    const struct app_room_mark now = {.index = last, .left = left, .asked = room->asked};
    bool was_ordered = room->ordered != 0 && room->ordered == last;
    if (!room->is_valid || was_ordered) {
        room->older = room->newer = now;
        room->is_valid = true;
    } else if (last >= room->newer.index + RAFT_WINDOW_MAX) {
        room->older = room->newer;
        room->newer = now;
    }
    room->asked += bytes;
    bool fits = room->asked - room->older.asked <= room->older.left;
    room->ordered = fits ? 0 : last + count;
    return fits;
}
