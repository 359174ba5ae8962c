#include "tests/driver/net/net_echo.h"

#include "drivers/net_dpdk/frame.h"

enum {
    IPV4 = 14,
    PROTOCOL = IPV4 + 9,
    CHECKSUM = IPV4 + 10,
    ICMP = 34,
    ICMP_CHECKSUM = ICMP + 2,
    IS_ICMP = 1,
    IS_ECHO_REQUEST = 8,
};

void net_echo_make(uint8_t *frame, uint32_t bytes)
{
    frame[PROTOCOL] = IS_ICMP;
    frame_put16(frame + CHECKSUM, 0);
    frame_put16(frame + CHECKSUM, (uint16_t)~frame_sum(frame + IPV4, ICMP - IPV4, 0));
    frame[ICMP] = IS_ECHO_REQUEST;
    frame[ICMP + 1] = 0;
    frame_put16(frame + ICMP_CHECKSUM, 0);
    frame_put16(frame + ICMP_CHECKSUM, (uint16_t)~frame_sum(frame + ICMP, bytes - ICMP, 0));
}
