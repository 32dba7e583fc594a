/* Reads a little-endian pcap file through one 256 KiB buffer and counts its frames: the floor of every replay. */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER_BYTES = 256 << 10, FILE_HEADER = 24, RECORD_HEADER = 16 };

static uint8_t buffer[BUFFER_BYTES + RECORD_HEADER];

int main(int argc, char **argv)
{
    int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
    if (fd < 0) {
        perror("count_frames");
        return 1;
    }
    uint64_t frames = 0, bytes = 0;
    size_t held = 0, skip = FILE_HEADER;
    ssize_t got;
    while ((got = read(fd, buffer + held, BUFFER_BYTES)) > 0) {
        size_t end = held + (size_t)got, at = skip;
        while (at + RECORD_HEADER <= end) {
            uint32_t lengths[2]; /* captured, on the wire */
            memcpy(lengths, buffer + at + 8, sizeof lengths);
            frames++;
            bytes += lengths[1];
            at += RECORD_HEADER + lengths[0];
        }
        held = at < end ? end - at : 0; /* part of a record header */
        skip = at < end ? 0 : at - end;
        if (held)
            memmove(buffer, buffer + at, held);
    }
    printf("{\"frames\": %llu, \"bytes\": %llu}\n", (unsigned long long)frames, (unsigned long long)bytes);
    return got < 0;
}
