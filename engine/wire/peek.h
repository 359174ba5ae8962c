// Which types of message does a frame carry? For whoever treats frames by what they are for without
// reading them: drivers/net_impair, through drivers/bundle.
#ifndef PONTOON_WIRE_PEEK_H
#define PONTOON_WIRE_PEEK_H

#include <stdint.h>

// Bit t: a message of type t (enum raft_message_type, enum wire_type). Follows the messages'
// lengths and checks nothing else; any bytes will do, what is no frame has no types.
uint64_t wire_peek_types(const void *frame, uint32_t bytes);

#endif
