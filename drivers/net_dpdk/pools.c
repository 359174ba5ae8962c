#include "drivers/net_dpdk/pools.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_mbuf.h>

#include "drivers/net_dpdk/frame.h"

enum {
    CACHE_BUFFERS = 64,
    OVERHEAD_BYTES = 512,
    IN_PAGES_MORE = 64,
    BASE_MIB = 24,
    WAITING_MAX = 64
};

static atomic_uint pools_made; // makes names unique in the process

// Pools that could not be freed yet. Touched by open and close only.
static struct {
    pthread_mutex_t lock;
    struct rte_mempool *pools[WAITING_MAX];
} waiting = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint32_t pools_mbuf_bytes(uint32_t frame_bytes)
{
    return (frame_bytes + FRAME_HEADER_BYTES + 63) / 64 * 64;
}

uint32_t pools_memory_mib(uint32_t buffers, uint32_t mbuf_bytes, bool is_ordinary)
{
    uint32_t page = (uint32_t)getpagesize();
    uint32_t room = mbuf_bytes + RTE_PKTMBUF_HEADROOM;
    uint32_t element = rte_mempool_calc_obj_size((uint32_t)sizeof(struct rte_mbuf) + room, 0, NULL);
    uint32_t in_pages = element <= page ? page / (page / element) : RTE_ALIGN_CEIL(element, page);
    uint64_t each = room + OVERHEAD_BYTES;
    if (is_ordinary && in_pages + IN_PAGES_MORE > each) {
        each = in_pages + IN_PAGES_MORE;
    }
    return BASE_MIB + (uint32_t)(buffers * each >> 20);
}

struct rte_mempool *pools_make(uint32_t buffers, uint32_t mbuf_bytes)
{
    char name[RTE_MEMPOOL_NAMESIZE];
    snprintf(name, sizeof(name), "pontoon_%u", atomic_fetch_add(&pools_made, 1));
    uint32_t cache = buffers >= CACHE_BUFFERS * 4 ? CACHE_BUFFERS : 0;
    return rte_pktmbuf_pool_create(name, buffers, cache, 0,
                                   (uint16_t)(mbuf_bytes + RTE_PKTMBUF_HEADROOM),
                                   (int)rte_socket_id());
}

int pools_open(struct pools *pools, uint32_t buffers, uint32_t mbuf_bytes, struct eal_fault *fault)
{
    memset(pools, 0, sizeof(*pools));
    pools->rx = pools_make(buffers / 2, mbuf_bytes);
    pools->peer = pools_make(buffers / 4, mbuf_bytes);
    pools->client = pools_make(buffers / 4, mbuf_bytes);
    if (pools->rx == NULL || pools->peer == NULL || pools->client == NULL) {
        int error = rte_errno == 0 ? ENOMEM : rte_errno;
        pools_close(pools);
        snprintf(fault->cause, sizeof(fault->cause), "no memory for %u buffers of %u bytes: %s",
                 buffers, mbuf_bytes, strerror(error));
        snprintf(fault->remedy, sizeof(fault->remedy),
                 "lower the number of buffers, or give EAL %u MiB more",
                 pools_memory_mib(buffers, mbuf_bytes, true));
        return -error;
    }
    pools->buffers = buffers / 2 + buffers / 4 * 2;
    return 0;
}

static bool free_if_whole(struct rte_mempool *pool)
{
    if (!rte_mempool_full(pool)) {
        return false;
    }
    rte_mempool_free(pool);
    return true;
}

static void look_at_waiting(void)
{
    for (size_t i = 0; i < WAITING_MAX; i++) {
        if (waiting.pools[i] != NULL && free_if_whole(waiting.pools[i])) {
            waiting.pools[i] = NULL;
        }
    }
}

void pools_drop(struct rte_mempool *pool)
{
    pthread_mutex_lock(&waiting.lock);
    look_at_waiting();
    size_t slot = 0;
    while (slot < WAITING_MAX && waiting.pools[slot] != NULL) {
        slot++;
    }
    if (pool != NULL && !free_if_whole(pool) && slot < WAITING_MAX) {
        waiting.pools[slot] = pool;
    }
    pthread_mutex_unlock(&waiting.lock);
}

void pools_close(struct pools *pools)
{
    pools_drop(pools->rx);
    pools_drop(pools->peer);
    pools_drop(pools->client);
    memset(pools, 0, sizeof(*pools));
}

uint32_t pools_free(const struct pools *pools)
{
    return rte_mempool_avail_count(pools->rx) + rte_mempool_avail_count(pools->peer) +
           rte_mempool_avail_count(pools->client);
}
