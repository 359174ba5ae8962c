// Little-endian numbers at any address. Compiles to one load or store on the machines we run on.
#ifndef PONTOON_APP_KV_KV_ENDIAN_H
#define PONTOON_APP_KV_KV_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline void kv_endian_write_u16(void *at, uint16_t value)
{
    value = htole16(value);
    memcpy(at, &value, sizeof(value));
}

static inline void kv_endian_write_u32(void *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof(value));
}

static inline void kv_endian_write_u64(void *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof(value));
}

static inline uint16_t kv_endian_read_u16(const void *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return le16toh(value);
}

static inline uint32_t kv_endian_read_u32(const void *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return le32toh(value);
}

static inline uint64_t kv_endian_read_u64(const void *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return le64toh(value);
}

#endif
