// ICMP echo requests, made of whole UDP frames.
#ifndef PONTOON_TESTS_NET_ECHO_H
#define PONTOON_TESTS_NET_ECHO_H

#include <stdint.h>

// The frame, from its Ethernet header on, becomes an echo request of the same length.
void net_echo_make(uint8_t *frame, uint32_t bytes);

#endif
