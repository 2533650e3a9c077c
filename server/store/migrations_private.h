/*
 * migrations_private.h: the SQL of migrations/, compiled in (migrations/embed.awk).
 */
#ifndef SERVER_STORE_MIGRATIONS_PRIVATE_H
#define SERVER_STORE_MIGRATIONS_PRIVATE_H

struct migration {
    int number; /* 1, 2, 3 … */
    const char *file;
    const char *sql;
};

extern const struct migration migrations[];
extern const int migrations_count;

#endif
