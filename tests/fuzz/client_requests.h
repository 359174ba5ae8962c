// The requests of fuzz_client's input, shared with the maker of seeds. An input is a byte that says
// what the node is, then frames: a byte (client in bits 0 and 1, number of requests less one in
// bits 2 and 3), then requests: a byte (bit 0: the group, bit 7: what they declare follows, then
// which), then what fuzz_client.c reads for it.
#ifndef PONTOON_TESTS_FUZZ_CLIENT_REQUESTS_H
#define PONTOON_TESTS_FUZZ_CLIENT_REQUESTS_H

// What the node is.
enum {
    REQUESTS_PARALLEL = 1,
    REQUESTS_OPAQUE = 2, // its state machine does not say what commands and queries touch
};

enum { REQUEST_DECLARES = 0x80 };

enum client_request {
    REQUEST_PROPOSE,
    REQUEST_FRAGMENT,
    REQUEST_READ,
    REQUEST_STATUS,
    REQUEST_RAW,
    REQUESTS
};

// How commands are proposed.
enum {
    REQUEST_REGISTER = 1,  // registrations instead
    REQUEST_SESSIONS = 2,  // each of another session
    REQUEST_WRONG_CRC = 4, // checksums of entries are wrong
};

#endif
