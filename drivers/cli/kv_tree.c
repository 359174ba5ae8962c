// pontoon kv load, pontoon kv verify: a directory tree, many commands or reads in flight.
//
// The tree is walked in order of names; each regular file makes one item, or one for each chunk. A
// fixed number of items is in flight. A put that ended without being known to be done is put again:
// storing the same value twice is harmless.
#include "drivers/cli/kv_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drivers/app_kv/kv_command.h"
#include "drivers/cli/cli_client.h"

enum { ITEMS_MAX = 256, RETRIES_MAX = 8, PROGRESS_NS = 200000000, COMPLAINTS_MAX = 20 };

struct tree;

// A file or chunk in flight.
struct item {
    struct tree *tree;
    struct item *next; // free, or to be tried again
    char *path;        // below the directory; of the item
    char key[KV_KEY_BYTES_MAX + 1];
    uint64_t offset;
    uint32_t bytes;
    uint32_t tries;
};

struct tree {
    const struct cli_arguments *arguments;
    struct cli_client client;
    bool is_verify;
    const char *root;
    FTS *walk;
    int root_fd;
    // the file that is being cut into items; path NULL: none
    char *path;
    uint64_t file_bytes, file_offset;
    bool is_chunked;
    struct item items[ITEMS_MAX];
    struct item *free, *again;
    uint32_t in_flight;
    uint8_t *payload, *value; // each as large as any
    uint64_t progress_ns;
    uint64_t files, empty_files, bytes, chunked_files, items_done;
    uint64_t symlinks, others, unreadable, failed, different, unanswered;
    uint32_t complaints;
};

static void complain(struct tree *tree, const char *what, const char *path)
{
    if (tree->complaints++ < COMPLAINTS_MAX) {
        fprintf(stderr, "%s: %s\n", path, what);
    }
}

static int compare_names(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

// The path below the directory that is walked.
static const char *relative(const struct tree *tree, const FTSENT *entry)
{
    const char *path = entry->fts_path + strlen(tree->root);
    return path + strspn(path, "/");
}

// Finds the next regular file. False: the walk is over.
static bool next_file(struct tree *tree)
{
    FTSENT *entry;
    while ((entry = fts_read(tree->walk)) != NULL) {
        switch (entry->fts_info) {
        case FTS_F:
            tree->path = strdup(relative(tree, entry));
            tree->file_bytes = (uint64_t)entry->fts_statp->st_size;
            tree->file_offset = 0;
            tree->is_chunked = tree->file_bytes > KV_VALUE_BYTES_MAX;
            tree->files++;
            tree->empty_files += tree->file_bytes == 0;
            tree->chunked_files += tree->is_chunked;
            return tree->path != NULL;
        case FTS_SL:
        case FTS_SLNONE:
            tree->symlinks++;
            break;
        case FTS_DNR:
        case FTS_ERR:
        case FTS_NS:
            tree->unreadable++;
            complain(tree, strerror(entry->fts_errno), entry->fts_path);
            break;
        case FTS_DEFAULT:
            tree->others++;
            break;
        default:
            break; // directories
        }
    }
    return false;
}

// Cuts the next item off the walk. False: nothing is left.
static bool next_item(struct tree *tree, struct item *item)
{
    if (tree->path == NULL && !next_file(tree)) {
        return false;
    }
    uint64_t left = tree->file_bytes - tree->file_offset;
    item->offset = tree->file_offset;
    item->bytes = (uint32_t)(left < KV_VALUE_BYTES_MAX ? left : KV_VALUE_BYTES_MAX);
    item->tries = 0;
    item->path = strdup(tree->path);
    int count = tree->is_chunked
                    ? snprintf(item->key, sizeof(item->key), "%s/#%llu", tree->path,
                               (unsigned long long)(tree->file_offset / KV_VALUE_BYTES_MAX))
                    : snprintf(item->key, sizeof(item->key), "%s", tree->path);
    tree->file_offset += item->bytes;
    if (count >= (int)sizeof(item->key)) {
        complain(tree, "the path is longer than a key may be", tree->path);
        tree->failed++;
        item->key[0] = '\0';
        tree->file_offset = tree->file_bytes; // its other chunks would fare no better
    }
    if (tree->file_offset == tree->file_bytes) {
        free(tree->path);
        tree->path = NULL;
    }
    return item->path != NULL;
}

static void recycle(struct item *item)
{
    free(item->path);
    item->path = NULL;
    item->next = item->tree->free;
    item->tree->free = item;
}

// Reads an item's bytes from its file. False with a complaint when they are not there.
static bool read_item(struct tree *tree, const struct item *item, uint8_t *buffer)
{
    int file = openat(tree->root_fd, item->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    uint32_t got = 0;
    int error = file < 0 ? errno : 0;
    while (error == 0 && got < item->bytes) {
        ssize_t count = pread(file, buffer + got, item->bytes - got, (off_t)(item->offset + got));
        error = count < 0 && errno != EINTR ? errno : count == 0 ? EIO : 0;
        got += count > 0 ? (uint32_t)count : 0;
    }
    if (file >= 0) {
        close(file);
    }
    if (error != 0) {
        tree->unreadable++;
        complain(tree, error == EIO ? "it became shorter" : strerror(error), item->path);
    }
    return error == 0;
}

static void end_item(struct item *item)
{
    item->tree->in_flight--;
    recycle(item);
}

static void try_again(struct item *item, const char *what)
{
    struct tree *tree = item->tree;
    if (++item->tries < RETRIES_MAX) {
        tree->in_flight--;
        item->next = tree->again;
        tree->again = item;
        return;
    }
    tree->unanswered++;
    complain(tree, what, item->path);
    end_item(item);
}

static void on_put(void *context, const struct pontoon_result *result)
{
    struct item *item = context;
    struct tree *tree = item->tree;
    if (result->status == PONTOON_DONE && result->value == KV_OK) {
        tree->bytes += item->bytes;
        tree->items_done++;
        end_item(item);
    } else if (result->status == PONTOON_EXPIRED) {
        try_again(item, "the cluster forgot our session, again and again");
    } else if (result->status == PONTOON_UNKNOWN) {
        tree->unanswered++;
        complain(tree, "no answer in time", item->path);
        end_item(item);
    } else {
        tree->failed++;
        complain(tree,
                 result->status == PONTOON_DONE ? kv_command_result_name(result->value) : "refused",
                 item->path);
        end_item(item);
    }
}

static void on_got(void *context, enum pontoon_status status, const void *answer, int32_t bytes)
{
    struct item *item = context;
    struct tree *tree = item->tree;
    if (status != PONTOON_DONE) {
        tree->unanswered++;
        complain(tree, "no answer in time", item->path);
    } else if (bytes == -ENOENT) {
        tree->different++;
        complain(tree, "is not in the store", item->key);
    } else if (bytes < 0) {
        tree->failed++;
        complain(tree, strerror(-bytes), item->key);
    } else if (read_item(tree, item, tree->value)) {
        bool is_equal = (uint32_t)bytes == item->bytes &&
                        (bytes == 0 || memcmp(answer, tree->value, (size_t)bytes) == 0);
        tree->different += !is_equal;
        tree->bytes += is_equal ? item->bytes : 0;
        tree->items_done++;
        if (!is_equal) {
            complain(tree, "differs from the file", item->key);
        }
    }
    end_item(item);
}

static int put_item(struct tree *tree, struct item *item)
{
    if (!read_item(tree, item, tree->value)) {
        return -EIO;
    }
    const struct kv_command command = {
        .operation = KV_PUT,
        .key = {.data = item->key, .bytes = (uint32_t)strlen(item->key)},
        .value = {.data = tree->value, .bytes = item->bytes}};
    uint32_t bytes = kv_command_encode(&command, tree->payload, RAFT_PAYLOAD_BYTES_MAX);
    return pontoon_client_propose(tree->client.client,
                                  kv_group_of(&tree->client.config, item->key, strlen(item->key)),
                                  tree->payload, bytes, on_put, item);
}

static int get_item(struct tree *tree, struct item *item)
{
    const struct kv_query query = {
        .kind = KV_QUERY_GET, .key = {.data = item->key, .bytes = (uint32_t)strlen(item->key)}};
    uint8_t text[KV_QUERY_BYTES_MAX];
    uint32_t bytes = kv_command_encode_query(&query, text, sizeof(text));
    return pontoon_client_read(tree->client.client,
                               kv_group_of(&tree->client.config, item->key, strlen(item->key)),
                               text, bytes, on_got, item);
}

// Brings an item on its way. False: the client is full, the item waits.
static bool begin(struct tree *tree, struct item *item)
{
    int error = item->key[0] == '\0' ? -ENAMETOOLONG
                : tree->is_verify    ? get_item(tree, item)
                                     : put_item(tree, item);
    if (error == -EAGAIN) {
        item->next = tree->again;
        tree->again = item;
        return false;
    }
    tree->in_flight++;
    if (error != 0) {
        end_item(item); // what was wrong is counted
    }
    return true;
}

// As many items as go. False: the walk is over and nothing is in flight.
static bool advance(struct tree *tree)
{
    uint32_t depth = (uint32_t)cli_number(tree->arguments, "depth");
    while (tree->in_flight < depth) {
        struct item *item = tree->again != NULL ? tree->again : tree->free;
        if (item == NULL) {
            break;
        }
        bool is_again = item == tree->again;
        *(is_again ? &tree->again : &tree->free) = item->next;
        if (!is_again && !next_item(tree, item)) {
            recycle(item);
            break;
        }
        if (!begin(tree, item)) {
            break;
        }
    }
    return tree->in_flight > 0 || tree->again != NULL;
}

static void show_progress(struct tree *tree, uint64_t began_ns)
{
    uint64_t now_ns = cli_now_ns();
    if (now_ns < tree->progress_ns || !isatty(STDERR_FILENO)) {
        return;
    }
    tree->progress_ns = now_ns + PROGRESS_NS;
    fprintf(stderr, "\r%llu files, %.1f MB, %.1f s ", (unsigned long long)tree->files,
            (double)tree->bytes / 1e6, (double)(now_ns - began_ns) / 1e9);
}

static int report(const struct tree *tree, double seconds)
{
    json_t *object =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "files", (json_int_t)tree->files,
                  "empty_files", (json_int_t)tree->empty_files, "chunked_files",
                  (json_int_t)tree->chunked_files, "bytes", (json_int_t)tree->bytes,
                  "symlinks_skipped", (json_int_t)tree->symlinks, "others_skipped",
                  (json_int_t)tree->others, "unreadable", (json_int_t)tree->unreadable, "seconds",
                  seconds, "megabytes_per_second", (double)tree->bytes / 1e6 / seconds);
    if (cli_is_given(tree->arguments, "json")) {
        json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        printf("\n");
    } else {
        printf(
            "%s %llu files (%llu of them empty, %llu in chunks), %.1f MB in %.2f s: %.0f files/s, "
            "%.1f MB/s\n",
            tree->is_verify ? "verified" : "loaded", (unsigned long long)tree->files,
            (unsigned long long)tree->empty_files, (unsigned long long)tree->chunked_files,
            (double)tree->bytes / 1e6, seconds, (double)tree->files / seconds,
            (double)tree->bytes / 1e6 / seconds);
        if (tree->symlinks + tree->others > 0) {
            printf("skipped %llu symbolic links and %llu devices, sockets or pipes\n",
                   (unsigned long long)tree->symlinks, (unsigned long long)tree->others);
        }
    }
    json_decref(object);
    if (tree->different > 0) {
        return cli_fail(tree->arguments, CLI_MISMATCH, "%llu values differ or are missing",
                        (unsigned long long)tree->different);
    }
    if (tree->unanswered > 0) {
        return cli_fail(tree->arguments, CLI_UNAVAILABLE, "%llu items were not answered in time",
                        (unsigned long long)tree->unanswered);
    }
    if (tree->failed + tree->unreadable > 0) {
        return cli_fail(tree->arguments, CLI_FAILED, "%llu items failed, %llu could not be read",
                        (unsigned long long)tree->failed, (unsigned long long)tree->unreadable);
    }
    return CLI_OK;
}

static int compare_replicas(struct tree *tree)
{
    struct replicas replicas;
    cli_client_compare(&tree->client, true, cli_number(tree->arguments, "timeout") * 1000000000,
                       &replicas);
    switch (replicas.verdict) {
    case REPLICAS_EQUAL:
        if (!cli_is_given(tree->arguments, "json")) {
            printf("all %u replicas are equal (applied %llu, digest %016llx)\n",
                   tree->client.config.node_count, (unsigned long long)replicas.applied[0],
                   (unsigned long long)replicas.digest);
        }
        return CLI_OK;
    case REPLICAS_DIFFER:
        return cli_fail(tree->arguments, CLI_MISMATCH,
                        "group %u: node %u has another digest at the same index", replicas.group,
                        replicas.node);
    case REPLICAS_SILENT:
        return cli_fail(tree->arguments, CLI_UNAVAILABLE,
                        "group %u: node %u does not tell its status; is it running?",
                        replicas.group, replicas.node);
    case REPLICAS_BEHIND:
        return cli_fail(tree->arguments, CLI_UNAVAILABLE,
                        "group %u: node %u has not caught up in time", replicas.group,
                        replicas.node);
    }
    return CLI_FAILED;
}

static int open_tree(struct tree *tree)
{
    char *roots[] = {(char *)tree->root, NULL};
    tree->root_fd = open(tree->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tree->root_fd < 0) {
        return cli_fail(tree->arguments, CLI_USAGE, "%s: %s", tree->root, strerror(errno));
    }
    tree->payload = malloc(RAFT_PAYLOAD_BYTES_MAX);
    tree->value = malloc(KV_VALUE_BYTES_MAX);
    tree->walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, compare_names);
    if (tree->payload == NULL || tree->value == NULL || tree->walk == NULL) {
        return cli_fail(tree->arguments, CLI_FAILED, "%s", strerror(errno));
    }
    for (uint32_t at = 0; at < ITEMS_MAX; at++) {
        tree->items[at].tree = tree;
        recycle(&tree->items[at]);
    }
    return CLI_OK;
}

static void close_tree(struct tree *tree)
{
    fts_close(tree->walk);
    close(tree->root_fd);
    free(tree->payload);
    free(tree->value);
}

static int run(const struct cli_arguments *arguments, bool is_verify)
{
    static struct tree tree;
    const struct pontoon_client_options client_options = {
        .depth_max = ITEMS_MAX, .give_up_ns = cli_number(arguments, "timeout") * 1000000000};
    tree.arguments = arguments;
    tree.is_verify = is_verify;
    tree.root = arguments->operands[0];
    int code = open_tree(&tree);
    if (code == CLI_OK) {
        code = cli_client_open(&tree.client, arguments, &client_options);
    }
    if (code != CLI_OK) {
        return code;
    }
    uint64_t began_ns = cli_now_ns();
    while (advance(&tree)) {
        cli_client_poll(&tree.client);
        show_progress(&tree, began_ns);
    }
    if (tree.progress_ns != 0) {
        fprintf(stderr, "\r%40s\r", "");
    }
    code = report(&tree, (double)(cli_now_ns() - began_ns) / 1e9);
    if (code == CLI_OK && is_verify) {
        code = compare_replicas(&tree);
    }
    cli_client_close(&tree.client);
    close_tree(&tree);
    return code;
}

static int load_run(const struct cli_arguments *arguments)
{
    return run(arguments, false);
}

static int verify_run(const struct cli_arguments *arguments)
{
    return run(arguments, true);
}

static const struct cli_option options[] = {
    CLI_OPTION_CONFIG,
    CLI_OPTION_CLIENT,
    KV_OPTION_TIMEOUT,
    {.name = "depth",
     .kind = CLI_NUMBER,
     .argument = "N",
     .min = 1,
     .max = ITEMS_MAX,
     .fallback = "64",
     .summary = "files or chunks in flight"},
    CLI_OPTION_JSON,
};

const struct cli_command command_kv_load = {
    .name = "kv load",
    .summary = "Stores every file of a directory tree under its relative path",
    .operands = "DIR",
    .operands_min = 1,
    .operands_max = 1,
    .takes_eal = true,
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .details =
        "Symbolic links, devices, sockets and pipes are counted and left out; empty files are "
        "stored. A file\nthat does not fit one value is stored in chunks under PATH/#0, "
        "PATH/#1, ... Progress goes to stderr\nwhen that is a terminal.",
    .run = load_run,
};

const struct cli_command command_kv_verify = {
    .name = "kv verify",
    .summary = "Reads a loaded tree back, byte for byte, and compares all replicas",
    .operands = "DIR",
    .operands_min = 1,
    .operands_max = 1,
    .takes_eal = true,
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .details =
        "Every file is read through a linearizable read and compared. Then it waits, at most "
        "--timeout, until\nall replicas have applied the same index, and compares their "
        "digests. Exit status 7: something differs.",
    .run = verify_run,
};
