// What the files that decode share. Private to this folder.
#ifndef PONTOON_WIRE_DECODE_H
#define PONTOON_WIRE_DECODE_H

#include "engine/wire/layout.h"
#include "engine/wire/wire.h"

bool decode_is_zero(const uint8_t *bytes, size_t count);

// That exactly `bytes` of the message at `at` are used, rounded up by zeros.
enum wire_refusal decode_check_end(const uint8_t *at, const struct layout_message *header,
                                   uint64_t bytes);

// The heads and payloads at the end of an append or a proposal, behind its fixed part, into the
// reader's scratch. Between the two lie the distances of an append, or the ranges of a proposal.
enum wire_refusal decode_entries(const struct wire_reader *reader, const uint8_t *at,
                                 const struct layout_message *header, uint32_t fixed_bytes,
                                 uint32_t count, uint32_t between_bytes, uint32_t payload_bytes);

// Reads the body of the message at `at` into `out`, whose common fields are there already. The
// message is as long as its fixed part at least, and lies in the frame.
typedef enum wire_refusal decode_body(const struct wire_reader *reader, const uint8_t *at,
                                      const struct layout_message *header,
                                      struct wire_message *out);

// decode_peer.c
decode_body decode_vote;
decode_body decode_vote_reply;
decode_body decode_append;
decode_body decode_append_reply;
decode_body decode_fetch;
decode_body decode_append_fragment;
decode_body decode_snapshot;
decode_body decode_snapshot_reply;

// decode_client.c
decode_body decode_propose;
decode_body decode_propose_fragment;
decode_body decode_propose_reply;
decode_body decode_register_reply;
decode_body decode_read;
decode_body decode_read_reply;
decode_body decode_status;
decode_body decode_status_reply;

#endif
