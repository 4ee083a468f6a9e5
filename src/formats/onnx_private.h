/* onnx_private.h - private: what the files of the ONNX reader share. */
#ifndef DEFT_FORMATS_ONNX_PRIVATE_H
#define DEFT_FORMATS_ONNX_PRIVATE_H

#include "deft/formats.h"

#include <onnx/onnx.pb-c.h>

/* Follows the wire format through the message types before anything is unpacked: protobuf-c
 * recurses and allocates a pointer a submessage, so nesting and counts are bounded here. */
deft_status onnx_scan(deft_bytes bytes, const ProtobufCMessageDescriptor *type, deft_error *err);

/* An allocator for protobuf-c on an arena with a limit; nothing is released before the arena is. */
ProtobufCAllocator onnx_allocator(deft_arena *a);

/* Where external data may come from, and how much more of it: many tensors of a small model may
 * name the same bytes, so a file is good for twice what it holds. */
enum { ONNX_MAX_FILES = 1024, ONNX_SHARED = 8 << 20 };
typedef struct onnx_folder {
    const char *path; // NULL: none is allowed
    uint64_t left;    // bytes, at first ONNX_SHARED
    uint64_t read;    // so far
    int n_file;       // distinct ones so far
    uint64_t file[ONNX_MAX_FILES][2];
} onnx_folder;

/* A tensor of the file. */
deft_status onnx_tensor(const Onnx__TensorProto *p, onnx_folder *dir, deft_arena *a,
                        deft_tensor *out, deft_error *err);
/* The bytes of an external tensor: a regular file inside dir, opened component by component. */
deft_status onnx_external(const Onnx__TensorProto *p, onnx_folder *dir, size_t size, deft_arena *a,
                          deft_bytes *out, deft_error *err);
/* Deft's element type of ONNX's number, 0 where there is none; 16-bit floats become float32. */
deft_dtype onnx_dtype(int32_t type);
float onnx_half(uint16_t h);   // IEEE binary16
float onnx_bfloat(uint16_t h); // bfloat16

/* A map from names to indices (open addressing). */
typedef struct onnx_names {
    deft_arena *arena;
    int32_t *slot; // index + 1, 0 empty
    uint32_t mask;
    deft_value *value;
    int32_t n, room;
} onnx_names;
deft_status onnx_names_init(onnx_names *m, int32_t room, deft_arena *a);
enum { ONNX_NAME_MAX = 4096 };
/* The index of name, added where it is new. */
deft_status onnx_names_get(onnx_names *m, const char *name, int32_t *index, deft_error *err);
bool onnx_names_has(const onnx_names *m, const char *name);

/* A graph being read. */
typedef struct onnx_reader {
    deft_graph *g;
    deft_arena *a;
    const Onnx__GraphProto *p;
    onnx_folder *dir; // for external data
    onnx_names names;
    /* While a branch of an If is read in place: what it produces, and what goes before those
     * names, since another If may use them again. NULL else. */
    onnx_names *local;
    const char *prefix;
    int n_if;     // read so far
    int64_t work; // that conditions of Ifs may still cost, all together
    deft_error *err;
} onnx_reader;

/* "" for NULL. */
const char *onnx_text(const char *s);
/* The value that a node of the graph, or of the branch being read, calls `name`. */
deft_status onnx_value_of(onnx_reader *r, const char *name, int32_t *index);
/* Appends nodes to r->g->node, which has room for them; errors name the node. */
deft_status onnx_read_nodes(onnx_reader *r, Onnx__NodeProto *const *node, size_t n);
deft_status onnx_read_initializers(onnx_reader *r, Onnx__TensorProto *const *t, size_t n);

/* Upper bounds of what the branches of all If nodes add. */
void onnx_if_room(const Onnx__GraphProto *p, size_t *nodes, size_t *names);
/* Reads in place the branch of an If whose condition follows from constants and shapes alone, as
 * PyTorch's exporter makes for squeeze. DEFT_E_UNSUPPORTED for every other. */
deft_status onnx_read_if(onnx_reader *r, const Onnx__NodeProto *p);

#endif
