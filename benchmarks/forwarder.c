/* The least a one-threaded TCP proxy can do: an epoll loop that sends on what it receives and reads nothing of it.
 *
 * A reference for `make bench-proxy`, not a rival: what it costs is the kernel's, and no forwarder of this kind can be
 * much faster. Usage: forwarder LISTEN_PORT SERVER_PORT, both on 127.0.0.1. It ends by a signal.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKETS = 65536, BATCH = 256, CHUNK = 256 * 1024 };
static int peer[SOCKETS];
static char buffer[CHUNK];

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) exit(1);
}

static void join(int epoll, int listener, struct sockaddr_in server)
{
    int one = 1, client = accept(listener, NULL, NULL), backend = socket(AF_INET, SOCK_STREAM, 0);
    if (client < 0 || backend < 0 || client >= SOCKETS || backend >= SOCKETS) exit(1);
    if (connect(backend, (struct sockaddr *)&server, sizeof server)) exit(1);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(backend, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    peer[client] = backend;
    peer[backend] = client;
    watch(epoll, client);
    watch(epoll, backend);
}

static void forward(int fd)
{
    ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        if (peer[fd] >= 0) shutdown(peer[fd], SHUT_RDWR);
        if (peer[fd] >= 0) peer[peer[fd]] = -1;
        close(fd);
        return;
    }
    for (ssize_t sent = 0, more; sent < got; sent += more)
        if (peer[fd] < 0 || (more = send(peer[fd], buffer + sent, (size_t)(got - sent), MSG_NOSIGNAL)) < 0) return;
}

int main(int count, char **values)
{
    if (count != 3) return 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(values[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in server = address;
    server.sin_port = htons((uint16_t)atoi(values[2]));
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, epoll = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) {
        perror("bind");
        return 1;
    }
    watch(epoll, listener);
    for (;;) {
        struct epoll_event events[BATCH];
        int ready = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener) join(epoll, listener, server);
            else forward(events[i].data.fd);
        }
    }
}
