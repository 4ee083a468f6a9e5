/* c_pieces.h - the runtime's own source, cut into its definitions, of which emitted C takes those
 * that it needs: the arithmetic of a device is the text that defines it, not a copy. */
#ifndef DEFT_EMIT_C_PIECES_H
#define DEFT_EMIT_C_PIECES_H

#include "deft/base.h"

#include <stdio.h>

typedef struct c_source {
    const char *path; // below src/ or include/
    const char *text;
} c_source;
extern const c_source deft_embedded[]; // made by the build; ends with NULL

/* A definition: a type, an enum, an object or a function, with the comment above it. */
typedef struct c_piece {
    const char *comment, *text; // not terminated
    size_t comment_size, text_size;
    const char **name; // what it defines
    int n_name;
    bool function, wanted;
} c_piece;

typedef struct c_pieces {
    deft_arena *arena;
    c_piece *piece; // in the order in which they can be compiled
    int n, room;
} c_pieces;

/* Cuts sources up. DEFT_E_SPACE. */
deft_status c_pieces_read(const c_source *source, deft_arena *a, c_pieces *out, deft_error *err);
/* Marks what this text needs, and what that needs. */
void c_pieces_want(c_pieces *p, const char *text, size_t size);
/* Writes the marked ones; functions become static. */
void c_pieces_write(const c_pieces *p, FILE *f);
/* Copies text with everything that it defines renamed: deft_x and x become NAME_x, DEFT_X NAME_X,
 * so that several such texts may be one translation unit. What users call (NAME_step) stays. */
deft_status c_pieces_rename(deft_bytes text, const char *name, deft_arena *a, FILE *f,
                            deft_error *err);

#endif
