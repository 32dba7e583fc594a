/* Sends the frames of a little-endian pcap file out of an interface, again and again, at an even rate.
 * Usage: send_frames INTERFACE FILE COUNT RATE
 * Prints how many were sent, and in how many nanoseconds. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 16, FILE_HEADER = 24, RECORD_HEADER = 16, PACKET_QDISC_BYPASS_OPTION = 20 };

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    if (file && fseek(file, 0, SEEK_END) == 0 && (*size = (size_t)ftell(file)) > FILE_HEADER) {
        rewind(file);
        data = malloc(*size);
        if (data && fread(data, 1, *size, file) != *size)
            data = NULL;
    }
    if (file)
        fclose(file);
    return data;
}

static struct iovec *find_frames(uint8_t *data, size_t size, size_t *n_frames)
{
    struct iovec *frames = malloc(size / (RECORD_HEADER + 14) * sizeof *frames);
    *n_frames = 0;
    for (size_t at = FILE_HEADER; frames && at + RECORD_HEADER <= size;) {
        uint32_t cap_len;
        memcpy(&cap_len, data + at + 8, sizeof cap_len);
        if (at + RECORD_HEADER + cap_len > size)
            break;
        frames[(*n_frames)++] = (struct iovec){data + at + RECORD_HEADER, cap_len};
        at += RECORD_HEADER + cap_len;
    }
    return frames;
}

static int open_socket(const char *interface)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = 0, .sll_ifindex = (int)if_nametoindex(interface)};
    int on = 1, fd = socket(AF_PACKET, SOCK_RAW, 0);
    if (fd < 0 || !address.sll_ifindex || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS_OPTION, &on, sizeof on) < 0)
        return -1;
    return fd;
}

/* Sends `count` frames from `first` on; returns whether that went well. A full queue is waited for: nothing is lost here. */
static int send_batch(int fd, struct iovec *frames, size_t n_frames, size_t first, unsigned count)
{
    struct mmsghdr messages[BATCH];
    memset(messages, 0, sizeof messages);
    for (unsigned i = 0; i < count; i++) {
        messages[i].msg_hdr.msg_iov = &frames[(first + i) % n_frames];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (unsigned done = 0; done < count;) {
        int sent = sendmmsg(fd, messages + done, count - done, 0);
        if (sent > 0)
            done += (unsigned)sent;
        else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
            return 0;
    }
    return 1;
}

int main(int argc, char **argv)
{
    size_t size, n_frames = 0;
    uint8_t *data = argc == 5 ? read_file(argv[2], &size) : NULL;
    struct iovec *frames = data ? find_frames(data, size, &n_frames) : NULL;
    int fd = n_frames ? open_socket(argv[1]) : -1;
    if (fd < 0) {
        perror("send_frames");
        return 1;
    }
    uint64_t count = strtoull(argv[3], NULL, 10), sent = 0;
    double interval_ns = 1e9 / strtod(argv[4], NULL);
    int64_t start = now_ns();
    while (sent < count) {
        unsigned batch = count - sent < BATCH ? (unsigned)(count - sent) : BATCH;
        while (now_ns() < start + (int64_t)((double)sent * interval_ns))
            ;
        if (!send_batch(fd, frames, n_frames, sent % n_frames, batch)) {
            perror("send_frames");
            return 1;
        }
        sent += batch;
    }
    printf("{\"sent\": %llu, \"ns\": %lld}\n", (unsigned long long)sent, (long long)(now_ns() - start));
    return 0;
}
