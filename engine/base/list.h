// Intrusive, circular, doubly linked list. The link sits inside the object, so nothing is allocated
// and any object leaves its list in O(1).
//
//     struct peer { struct list_link due; ... };
//     struct list due;  list_init(&due);  list_push_back(&due, &peer->due);
//     struct peer *first = LIST_OBJECT(list_first(&due), struct peer, due);
//
// An object is in at most one list per link. A link that is in no list points to itself
// (list_link_init).
#ifndef PONTOON_BASE_LIST_H
#define PONTOON_BASE_LIST_H

#include "engine/base/assert.h"

#include <stdbool.h>
#include <stddef.h>

struct list_link {
    struct list_link *next, *previous; // never NULL once initialised
};

struct list {
    struct list_link head; // next: the first object, previous: the last; itself when empty
};

// The object around a link. The link must not be NULL.
#define LIST_OBJECT(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

// Walks links from first to last. The loop body must not remove the current link: LIST_EACH_SAFE
// allows that.
#define LIST_EACH(link, list)                                                                      \
    for (struct list_link *link = (list)->head.next; link != &(list)->head; link = link->next)
#define LIST_EACH_SAFE(link, list)                                                                 \
    for (struct list_link *link = (list)->head.next, *link##_next = link->next;                    \
         link != &(list)->head; link = link##_next, link##_next = link->next)

static inline void list_link_init(struct list_link *link)
{
    link->next = link->previous = link;
}

static inline bool list_is_linked(const struct list_link *link)
{
    return link->next != link;
}

static inline void list_init(struct list *list)
{
    list_link_init(&list->head);
}

static inline bool list_is_empty(const struct list *list)
{
    return list->head.next == &list->head;
}

// Puts `link`, which is in no list, in front of `before`.
static inline void list_insert_before(struct list_link *before, struct list_link *link)
{
    ASSERT(!list_is_linked(link));
    link->previous = before->previous;
    link->next = before;
    before->previous->next = link;
    before->previous = link;
}

static inline void list_push_back(struct list *list, struct list_link *link)
{
    list_insert_before(&list->head, link);
}

static inline void list_push_front(struct list *list, struct list_link *link)
{
    list_insert_before(list->head.next, link);
}

// Takes the link out of its list; without effect when it is in none.
static inline void list_remove(struct list_link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_link_init(link);
}

// First (last) link, NULL when the list is empty.
static inline struct list_link *list_first(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.next;
}

static inline struct list_link *list_last(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.previous;
}

// Removes and returns the first link, NULL when the list is empty.
static inline struct list_link *list_pop_front(struct list *list)
{
    struct list_link *link = list_first(list);
    if (link != NULL) {
        list_remove(link);
    }
    return link;
}

#endif
