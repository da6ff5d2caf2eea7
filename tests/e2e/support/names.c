/* A name service for tests, preloaded into the balancer: names that end in ".test" are looked up, each
 * time anew, in the file that TEST_NAMES names, whose lines are a name and its addresses. A name that is
 * not there does not resolve; one whose address is "never" gets no answer until the file says otherwise. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* The addresses of the name, as written in the file; empty where it is not there. */
static void read_addresses(const char *name, char addresses[1024]) {
    char line[1024];
    addresses[0] = 0;
    FILE *file = fopen(getenv("TEST_NAMES"), "r");
    while (file && fgets(line, sizeof line, file)) {
        size_t length = strlen(name);
        if (!strncmp(line, name, length) && line[length] == ' ') strcpy(addresses, line + length);
    }
    if (file) fclose(file);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **all) {
    lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
    size_t length = name ? strlen(name) : 0;
    if (length < 5 || strcmp(name + length - 5, ".test")) return real(name, service, hints, all);

    char addresses[1024], *rest = NULL;
    for (read_addresses(name, addresses); strstr(addresses, "never"); read_addresses(name, addresses))
        usleep(10000);
    struct addrinfo **end = all;
    *all = NULL;
    for (char *one = strtok_r(addresses, " \n", &rest); one; one = strtok_r(NULL, " \n", &rest)) {
        if (real(one, service, hints, end)) return EAI_FAIL;
        while (*end) end = &(*end)->ai_next;
    }
    return *all ? 0 : EAI_NONAME;
}
