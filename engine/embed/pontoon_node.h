// The inside of a node, for the files of engine/embed and the program's own status.
#ifndef PONTOON_EMBED_PONTOON_NODE_H
#define PONTOON_EMBED_PONTOON_NODE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/embed/parts.h"
#include "engine/pontoon.h"
#include "engine/reactor/reactor.h"

enum {
    NODE_THREADS_MAX = PONTOON_REACTORS_MAX * (1 + REACTOR_APPLY_WORKERS_MAX),
    NODE_DESCRIPTION_BYTES = PARTS_DESCRIPTION_BYTES + 512,
};

struct node_thread {
    struct pontoon *node;
    uint32_t which, worker;
    pthread_t thread;
};

struct pontoon {
    struct pontoon_config config; // constant after the start, but for .impair: reactor 0's thread
    struct pontoon_options options;
    struct parts parts;
    struct reactor *reactors[PONTOON_REACTORS_MAX];
    enum pontoon_idle idle;
    struct node_thread threads[NODE_THREADS_MAX];
    uint32_t thread_count;       // the opener's: threads to join
    pthread_t opener;            // who polls when no threads run
    atomic_bool should_stop;     // release by the stopper, acquire by the threads
    atomic_bool is_running;      // threads poll, not the opener
    atomic_bool is_closed;       // nothing more is accepted: pontoon_stop or _close was called
    pthread_mutex_t impair_lock; // one pontoon_impair_mt at a time
    char description[NODE_DESCRIPTION_BYTES];
};

// The reactor that the calling thread is inside of (its loop, or pontoon_poll); NULL: none.
extern _Thread_local const struct reactor *node_reactor_here;

struct reactor *node_reactor_of(struct pontoon *node, uint16_t group);
// Runs `call` on the reactor's thread and waits for it; at once when that is the caller's.
// -ETIMEDOUT: it did not begin within 2 s, and will not.
int node_call_wait(struct pontoon *node, struct reactor *reactor, reactor_call *call,
                   void *context);

#endif
