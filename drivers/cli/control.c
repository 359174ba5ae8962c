#include "drivers/cli/control.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "drivers/cli/impair_control.h"
#include "drivers/cli/impair_words.h"
#include "drivers/cli/status_json.h"

enum { REQUEST_BYTES = IMPAIR_TEXT_BYTES + 16, ANSWER_TIMEOUT_MS = 3000 };

struct control {
    struct pontoon *node;
    int listener;
    pthread_t thread;
    atomic_bool should_stop;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

void control_path(const struct pontoon_config *config, char *path, size_t bytes)
{
    if (config->control[0] != '\0') {
        snprintf(path, bytes, "%s", config->control);
    } else {
        snprintf(path, bytes, "%s/control", config->directory);
    }
}

static int address_of(const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address->sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address->sun_path, path, strlen(path) + 1);
    return 0;
}

static bool send_all(int socket, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t sent = send(socket, text, bytes, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        text += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

static void serve_request(struct control *control, int socket, const char *request)
{
    json_t *answer;
    if (strcmp(request, "status") == 0 || strcmp(request, "status digest") == 0) {
        answer = status_json(control->node, request[6] != '\0');
    } else if (strcmp(request, "impair") == 0) {
        answer = json_pack("{s:o}", "impairments", impair_control_rules(control->node));
    } else if (strncmp(request, "impair ", 7) == 0) {
        answer = impair_control_change(control->node, request + 7);
    } else {
        answer = json_pack("{s:s}", "error",
                           "unknown request; there are: status [digest], impair [WORDS]");
    }
    char *text = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (text != NULL && send_all(socket, text, strlen(text))) {
        send_all(socket, "\n", 1);
    }
    free(text);
    json_decref(answer);
}

static void serve(struct control *control, int socket)
{
    char request[REQUEST_BYTES];
    size_t used = 0;
    struct pollfd readable = {.fd = socket, .events = POLLIN};
    while (used < sizeof(request) - 1 && poll(&readable, 1, ANSWER_TIMEOUT_MS) == 1) {
        ssize_t got = recv(socket, request + used, sizeof(request) - 1 - used, 0);
        if (got <= 0) {
            return;
        }
        used += (size_t)got;
        request[used] = '\0';
        char *end = strchr(request, '\n');
        if (end != NULL) {
            *end = '\0';
            serve_request(control, socket, request);
            return;
        }
    }
}

static void *run(void *argument)
{
    struct control *control = argument;
    struct pollfd readable = {.fd = control->listener, .events = POLLIN};
    while (!atomic_load(&control->should_stop)) {
        if (poll(&readable, 1, 100) == 1) {
            int socket = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);
            if (socket >= 0) {
                serve(control, socket);
                close(socket);
            }
        }
    }
    return NULL;
}

int control_start(struct pontoon *node, const struct pontoon_config *config, struct control **out,
                  char *reason, size_t reason_bytes)
{
    struct sockaddr_un address;
    char path[PONTOON_PATH_BYTES + 16];
    control_path(config, path, sizeof(path));
    int error = address_of(path, &address);
    struct control *control = calloc(1, sizeof(*control));
    if (error != 0 || control == NULL) {
        free(control);
        snprintf(reason, reason_bytes, "control socket %s: %s; set a shorter `control`", path,
                 error != 0 ? "path too long" : "no memory");
        return error != 0 ? error : -ENOMEM;
    }
    control->node = node;
    memcpy(control->path, address.sun_path, sizeof(control->path));
    control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(path); // the directory is locked by us: whoever left it is gone
    if (control->listener < 0 ||
        bind(control->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(control->listener, 8) != 0 ||
        pthread_create(&control->thread, NULL, run, control) != 0) {
        error = errno;
        snprintf(reason, reason_bytes,
                 "control socket %s: %s; set `control` to a path you may write", path,
                 strerror(error));
        close(control->listener);
        free(control);
        return -error;
    }
    *out = control;
    return 0;
}

void control_stop(struct control *control)
{
    atomic_store(&control->should_stop, true);
    pthread_join(control->thread, NULL);
    close(control->listener);
    unlink(control->path);
    free(control);
}

static int read_answer(int socket, char **answer)
{
    size_t used = 0, capacity = 1 << 16;
    char *text = malloc(capacity);
    struct pollfd readable = {.fd = socket, .events = POLLIN};
    while (text != NULL && poll(&readable, 1, ANSWER_TIMEOUT_MS) == 1) {
        ssize_t got = recv(socket, text + used, capacity - used - 1, 0);
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
        text[used] = '\0';
        if (text[used - 1] == '\n') {
            *answer = text;
            return 0;
        }
        if (capacity - used < 2) {
            capacity *= 2;
            char *grown = realloc(text, capacity);
            if (grown == NULL) {
                break;
            }
            text = grown;
        }
    }
    free(text);
    return -ETIMEDOUT;
}

int control_ask(const char *path, const char *request, char **answer)
{
    struct sockaddr_un address;
    int error = address_of(path, &address);
    int socket_fd = error == 0 ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (socket_fd < 0) {
        return error != 0 ? error : -errno;
    }
    if (connect(socket_fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        error = -errno;
    } else if (!send_all(socket_fd, request, strlen(request)) || !send_all(socket_fd, "\n", 1)) {
        error = -EPIPE;
    } else {
        error = read_answer(socket_fd, answer);
    }
    close(socket_fd);
    return error;
}
