/* torch_script.h - private: the program of a TorchScript archive.
 *
 * code/ holds the methods of every module in a small, typed subset of Python. They are parsed (lex,
 * parse), then run on values (run, call, ops): numbers, strings, tuples, lists and modules are
 * known as they are; a tensor is a value of the graph that is made on the way. What depends on no
 * observation is computed at once, all else becomes a node. Each node is also computed on a sample,
 * which tells its shape. */
#ifndef DEFT_FORMATS_TORCH_SCRIPT_H
#define DEFT_FORMATS_TORCH_SCRIPT_H

#include "formats/torch_private.h"

enum {
    TS_MAX_TOKENS = 1 << 19, // of one file
    TS_MAX_NESTING = 48,     // of brackets or of blocks in a file
    TS_MAX_DEPTH = 256,      // of evaluation: calls, blocks and expressions
    TS_MAX_ARGS = 16,
    TS_MAX_LIST = 4096,
    TS_OPSET = 17,
};

/* --- text ------------------------------------------------------------------------------------ */

typedef enum ts_token_kind {
    TS_T_END = 0,
    TS_T_NEWLINE,
    TS_T_INDENT,
    TS_T_DEDENT,
    TS_T_NAME,
    TS_T_INT,
    TS_T_FLOAT,
    TS_T_STRING,
    TS_T_MARK, // one character, or "->"
} ts_token_kind;

typedef struct ts_token {
    ts_token_kind kind;
    int32_t line;
    const char *s; // NAME: interned; STRING: its contents; MARK: its characters
    int64_t i;
    double f;
} ts_token;

typedef struct ts_text {
    const char *name; // "code/__torch__.py", for messages
    deft_bytes bytes;
    ts_token *token; // ended by END
    int32_t n_token;
} ts_text;

/* Names that are equal are the same pointer. */
typedef struct ts_names {
    const char **slot;
    size_t n, room;
    deft_arena *a;
} ts_names;
const char *ts_intern(ts_names *t, const char *s, size_t n); // NULL: no memory

deft_status ts_lex(ts_text *t, ts_names *names, deft_arena *a, deft_error *err);

/* --- syntax ---------------------------------------------------------------------------------- */

typedef enum ts_expr_kind {
    TS_E_NAME = 1,
    TS_E_INT,
    TS_E_FLOAT,
    TS_E_STRING,
    TS_E_ATTR,  // a.s
    TS_E_CALL,  // a(item...), key[k] the name of a keyword argument or NULL
    TS_E_INDEX, // a[item[0]]
    TS_E_TUPLE,
    TS_E_LIST,
    TS_E_DICT, // key, value, key, value, ...
    TS_E_NEG,  // -a
} ts_expr_kind;

typedef struct ts_expr ts_expr;
struct ts_expr {
    ts_expr_kind kind;
    int32_t line;
    const char *s; // NAME, STRING, ATTR
    int64_t i;
    double f;
    ts_expr *a;
    ts_expr **item;
    const char **key;
    int32_t n, room;
};

typedef enum ts_stmt_kind {
    TS_S_EXPR = 1,
    TS_S_ASSIGN,  // target = value; unpack: to the items of target, a tuple
    TS_S_DECLARE, // target : type, or an assignment with a type
    TS_S_IF,
    TS_S_FOR,
    TS_S_WHILE,
    TS_S_RETURN,
    TS_S_PASS,
} ts_stmt_kind;

typedef struct ts_stmt ts_stmt;
struct ts_stmt {
    ts_stmt_kind kind;
    int32_t line;
    ts_expr *target, *type, *value; // IF, WHILE: value is the condition; FOR: what is iterated over
    ts_stmt *body, *otherwise;      // first of a list
    ts_stmt *next;
};

typedef struct ts_param {
    const char *name;
    const ts_expr *type, *otherwise; // NULL: not given
} ts_param;

typedef struct ts_function ts_function;
struct ts_function {
    const char *name;
    const char *file; // "code/__torch__.py"
    int32_t line;
    int32_t n_param;
    ts_param *param;
    const ts_expr *result;
    ts_stmt *body;
    ts_function *next;
};

typedef struct ts_class ts_class;
struct ts_class {
    const char *name;
    const char *file;
    int32_t line;
    ts_stmt *field;
    ts_function *method;
    ts_class *next;
};

typedef struct ts_file {
    ts_class *type;
    ts_function *function;
} ts_file;

typedef struct ts_parser {
    const ts_text *text;
    int32_t at, nesting;
    ts_names *names;
    deft_arena *a;
    deft_error *err;
} ts_parser;

deft_status ts_parse(const ts_text *t, ts_names *names, deft_arena *a, ts_file *out,
                     deft_error *err);
/* Shared by the files of the parser. */
const ts_token *ts_peek(const ts_parser *p);
bool ts_take_mark(ts_parser *p, const char *mark);
bool ts_take_word(ts_parser *p, const char *word);
deft_status ts_expected(ts_parser *p, const char *what);
deft_status ts_parse_no_memory(ts_parser *p);
deft_status ts_parse_expr(ts_parser *p, ts_expr **out);
/* A comma after the first makes a tuple, as on both sides of an assignment. */
deft_status ts_parse_exprs(ts_parser *p, ts_expr **out);
ts_expr *ts_new_expr(ts_parser *p, ts_expr_kind kind);
deft_status ts_push_expr(ts_parser *p, ts_expr *list, ts_expr *item, const char *key);

/* --- the program ----------------------------------------------------------------------------- */

typedef struct ts_unit {
    const char *module; // "__torch__.torch.nn.functional"
    ts_file file;
} ts_unit;

/* A tensor of the pickles with its elements. */
typedef struct ts_stored {
    const torch_view *view;
    bool constants; // of constants.pkl
    deft_tensor t;
} ts_stored;

typedef struct ts_program {
    torch_archive *archive;
    deft_arena *a;   // of everything below; larger than any run
    deft_arena *run; // of one run, forgotten before the next
    ts_names names;
    ts_unit *unit;
    int32_t n_unit, room_unit;
    ts_stored *stored;
    int32_t n_stored, room_stored;
    const torch_view **views; // of all tensors of the pickles
    int32_t n_view;
    pickle_value *root, *constants; // constants: NULL where there are none
    int64_t steps, work;            // what is left for all runs
    deft_error *err;
} ts_program;

/* "__torch__.a.b.C" as the class C (or the function) of code/__torch__/a/b.py; NULL and no error:
 * there is none. */
deft_status ts_find_class(ts_program *p, const char *name, const ts_class **out);
deft_status ts_find_function(ts_program *p, const char *name, const ts_function **out);
const ts_function *ts_method(const ts_class *c, const char *name);
deft_status ts_stored_tensor(ts_program *p, const torch_view *v, bool constants,
                             const deft_tensor **out);

/* --- values ---------------------------------------------------------------------------------- */

typedef enum ts_kind {
    TS_NONE = 0,
    TS_BOOL,
    TS_INT,
    TS_FLOAT,
    TS_STRING,
    TS_TENSOR,
    TS_TUPLE,
    TS_LIST,
    TS_DICT,
    TS_OBJECT,
    TS_FUNCTION,
    TS_DEVICE,
    TS_UNSET, // uninitialized(T)
} ts_kind;

typedef struct ts_tensor ts_tensor;
typedef struct ts_list ts_list;
typedef struct ts_object ts_object;

typedef struct ts_value {
    ts_kind kind;
    union {
        int64_t i; // INT, BOOL
        double f;
        const char *s; // STRING, DEVICE; FUNCTION: its full name
        ts_tensor *t;
        ts_list *list;
        ts_object *object;
    } as;
} ts_value;

struct ts_list {
    ts_value *item; // DICT: key, value, ...
    int32_t n, room;
    bool changed; // by the program, since it was made
};

typedef struct ts_attr {
    const char *name; // interned
    pickle_value *stored;
    ts_value value;
    bool read; // value holds it
    bool set;  // by the program
} ts_attr;

struct ts_object {
    const char *path, *type; // "actor.0", "__torch__.torch.nn.modules.linear.Linear"
    pickle_value *stored;
    ts_attr *attr;
    int32_t n, room;
};

/* A tensor as the program sees it: its own elements, or some of those of another. */
struct ts_tensor {
    ts_tensor *base;        // NULL: its own
    const deft_tensor *map; // a view: which elements of base, int64, in its shape
    int32_t value;          // -1: to be made
    int32_t version;        // own: how often it was written; a view: when value was made
    int32_t flat;           // own: its elements in a row, as of flat_version; -1: not made
    int32_t flat_version;
    const char *path; // of the attribute that holds it, else NULL
    const torch_view *view;
    bool written;
    /* A copy here, but perhaps a view of this one for torch, by strides that are not known: it must
     * not be written into, nor its origin. */
    ts_tensor *origin;
    int32_t origin_version;
};

/* A value of the graph. */
typedef struct ts_edge {
    const deft_tensor *t; // of a constant; else of a sample
    bool constant;
    const char *name; // NULL: none of its own
    int32_t graph;    // its number there, -1: not in it yet
} ts_edge;

/* An attribute that the program changes, or one item of it. */
typedef struct ts_state {
    const char *path, *name; // of its module, its own: "rnn", "hidden"
    const char *label;       // "rnn.hidden"
    ts_kind kind;            // TENSOR; TUPLE or LIST: item `leaf` of `leaves`; else: `other`
    int32_t leaf, leaves;
    ts_value other; // what it is from the second step on
    int32_t rank;   // of the tensor
    int64_t dim[DEFT_MAX_RANK];
} ts_state;

typedef struct ts {
    ts_program *p;
    deft_arena *a;
    deft_error *err;
    ts_edge *edge;
    int32_t n_edge, room_edge;
    deft_node *node;
    int32_t n_node, room_node;
    ts_object **object; // made so far, with what they were made of
    int32_t n_object, room_object;
    ts_tensor **kept; // tensors of attributes, by view
    int32_t n_kept, room_kept;
    const char *file, *path; // where it is: file and line, module
    int32_t line;
    int32_t depth;
    const ts_state *state; // [n_state] whose tensors are inputs of the graph
    int32_t n_state;
    int32_t *state_edge; // [n_state] of the inputs, -1: none
    uint64_t seed;
} ts;

deft_status ts_fail(ts *l, deft_status s, const char *fmt, ...) DEFT_PRINTF(3, 4);
deft_status ts_no_memory(ts *l);
deft_status ts_charge(ts *l, int64_t work);
const char *ts_kind_name(ts_kind k);

ts_value ts_none(void);
ts_value ts_bool(bool v);
ts_value ts_int(int64_t v);
ts_value ts_float(double v);
ts_value ts_of(ts_tensor *t);
/* A tuple or list with room for n. NULL: no memory. */
ts_list *ts_new_list(ts *l, int32_t n);
deft_status ts_push(ts *l, ts_list *list, ts_value v);
deft_status ts_truth(ts *l, const ts_value *v, bool *out);
/* Numbers out of values; a tensor of one element that depends on nothing counts as its element. */
deft_status ts_to_int(ts *l, const ts_value *v, int64_t *out);
deft_status ts_to_float(ts *l, const ts_value *v, double *out);
/* A list, a tuple or one number. Returns how many, -1 after ts_fail. */
int32_t ts_to_ints(ts *l, const ts_value *v, int64_t *out, int32_t most);
deft_status ts_same(ts *l, const ts_value *a, const ts_value *b, bool *out); // ==, no tensors

/* --- tensors --------------------------------------------------------------------------------- */

/* The graph value that t is now, -1 after ts_fail. */
int32_t ts_read(ts *l, ts_tensor *t);
const deft_tensor *ts_sample(ts *l, ts_tensor *t);            // of that value; NULL after ts_fail
const deft_tensor *ts_shape(const ts *l, const ts_tensor *t); // without its elements
ts_tensor *ts_wrap(ts *l, int32_t edge);                      // NULL after ts_fail, as for edge -1
int32_t ts_constant(ts *l, const deft_tensor *t, const char *name);
int32_t ts_scalar(ts *l, deft_dtype dtype, double v);
int32_t ts_ints(ts *l, int32_t n, const int64_t *v);
int32_t ts_dynamic(ts *l, deft_dtype dtype, int32_t rank, const int64_t *dim);
/* One node: its results on constants at once, else in the graph. false after ts_fail. */
typedef struct ts_emission {
    const char *op;
    int32_t n_in, n_out, n_attr;
    const int32_t *in; // -1: left out
    const deft_attr *attr;
} ts_emission;
bool ts_emit_all(ts *l, const ts_emission *e, int32_t *out);
/* The only result; -1 after ts_fail, and where an operand is -1. */
int32_t ts_emit(ts *l, const char *op, int32_t n_in, const int32_t *in, const deft_attr *attr);
int32_t ts_unary(ts *l, const char *op, int32_t x);
int32_t ts_binary(ts *l, const char *op, int32_t x, int32_t y);
int32_t ts_cast(ts *l, int32_t x, deft_dtype dtype);
int32_t ts_reshape(ts *l, int32_t x, int32_t rank, const int64_t *dim);
int32_t ts_expand(ts *l, int32_t x, int32_t rank, const int64_t *dim);
/* A view: an operator that moves elements, with a constant second operand (-1: none). */
ts_tensor *ts_view(ts *l, ts_tensor *t, const char *op, const deft_tensor *with,
                   const deft_attr *attr);
ts_tensor *ts_view_at(ts *l, ts_tensor *t, const deft_tensor *at); // elements `at` of t, flat
ts_tensor *ts_reshaped(ts *l, ts_tensor *t, int32_t rank, const int64_t *dim);
ts_tensor *ts_slice(ts *l, ts_tensor *t, int32_t axis, const int64_t from_to_step[3]);
/* Do its elements follow each other in its base? */
bool ts_in_rows(const ts_tensor *t);
/* What reshape gives: a view, or a copy where elements do not follow each other. */
ts_tensor *ts_reshaped_copy(ts *l, ts_tensor *t, int32_t rank, const int64_t *dim);
/* t's elements become those of a graph value of a shape that broadcasts to its own. */
deft_status ts_write(ts *l, ts_tensor *t, int32_t edge);

/* --- running --------------------------------------------------------------------------------- */

deft_status ts_object_of(ts *l, pickle_value *v, const char *path, ts_object **out);
deft_status ts_stored_value(ts *l, pickle_value *v, const char *path, bool constants,
                            ts_value *out);
/* An attribute, made when first asked for; DEFT_E_FORMAT: there is none. */
deft_status ts_get_attr(ts *l, ts_object *o, const char *name, ts_value *out);
deft_status ts_set_attr(ts *l, ts_object *o, const char *name, const ts_value *v);
ts_attr *ts_find_attr(ts_object *o, const char *name); // NULL: none

/* Calls with values for the first n parameters; the rest must have defaults. */
deft_status ts_call(ts *l, const ts_function *f, ts_object *self, const ts_value *arg, int32_t n,
                    ts_value *out);

/* Variables of a function that runs. */
typedef struct ts_frame {
    const char **name;
    ts_value *value;
    int32_t n, room;
    bool returned;
    ts_value result;
} ts_frame;
deft_status ts_set_local(ts *l, ts_frame *f, const char *name, const ts_value *v);
bool ts_get_local(const ts_frame *f, const char *name, ts_value *out);
deft_status ts_eval(ts *l, ts_frame *f, const ts_expr *e, ts_value *out);
deft_status ts_eval_call(ts *l, ts_frame *f, const ts_expr *e, ts_value *out);
bool ts_dotted(const ts_expr *e, char *buf, size_t n); // "torch.nn.x"; false: something else
deft_status ts_enter(ts *l);
void ts_leave(ts *l);

/* --- operators ------------------------------------------------------------------------------- */

typedef struct ts_args ts_args;
typedef deft_status ts_handler(ts *l, ts_args *a, ts_value *out);
typedef struct ts_op {
    const char *name;   // "linear" for torch.linear, "prim.dtype" for ops.prim.dtype
    const char *params; // "input weight bias"
    ts_handler *run;
    const char *with; // what the handler needs to know, often an operator of the graph
} ts_op;
struct ts_args {
    const ts_op *op;
    ts_value v[TS_MAX_ARGS];
    bool given[TS_MAX_ARGS];
    int32_t n; // the last that is given, and 1
};

extern const ts_op ts_ops_python[], ts_ops_shape[], ts_ops_math[], ts_ops_linear[], ts_ops_create[],
    ts_ops_index[], ts_ops_reduce[];
const ts_op *ts_find_op(const char *name);
bool ts_moves(const ts_op *op); // one of ts_ops_shape

bool ts_has(const ts_args *a, int32_t i); // given, and not None
deft_status ts_arg_tensor(ts *l, const ts_args *a, int32_t i, ts_tensor **out);
/* Its value; -1 after ts_fail. A number becomes a constant. */
int32_t ts_arg_edge(ts *l, const ts_args *a, int32_t i);
deft_status ts_arg_int(ts *l, const ts_args *a, int32_t i, int64_t otherwise, int64_t *out);
deft_status ts_arg_float(ts *l, const ts_args *a, int32_t i, double otherwise, double *out);
deft_status ts_arg_bool(ts *l, const ts_args *a, int32_t i, bool otherwise, bool *out);
/* A dimension of t, negative ones from the end. */
deft_status ts_arg_dim(ts *l, const ts_args *a, int32_t i, const deft_tensor *t, int32_t *out);
deft_status ts_give(ts *l, int32_t edge, ts_value *out); // wraps; fails for -1
deft_status ts_give_tensor(ts_tensor *t, ts_value *out, ts *l);
bool ts_is_tensor(const ts_args *a, int32_t i);
/* Two operands in one element type, as torch promotes them. */
bool ts_promote(ts *l, const ts_args *a, int32_t i, int32_t k, int32_t edge[2]);
int64_t ts_torch_dtype(deft_dtype t); // 6 for float32; -1
deft_dtype ts_deft_dtype(int64_t t);  // 0: none

/* --- the whole ------------------------------------------------------------------------------- */

enum { TS_MAX_LEAVES = 8, TS_MAX_STATES = 32 };

/* A tensor that forward takes. */
typedef struct ts_leaf {
    const char *name;
    int32_t param, item; // item: of a tuple, -1: the parameter itself
    int32_t rank;
    int64_t dim[DEFT_MAX_RANK];
} ts_leaf;
typedef struct ts_spec {
    int32_t n;
    ts_leaf leaf[TS_MAX_LEAVES];
} ts_spec;

typedef struct ts_states {
    int32_t n;
    ts_state state[TS_MAX_STATES];
} ts_states;

/* One run of forward with inputs of some shapes. */
typedef struct ts_trial {
    ts l;
    const ts_function *forward;
    const ts_spec *spec;
    int32_t input[TS_MAX_LEAVES], state_edge[TS_MAX_STATES];
    ts_object *root;
    ts_value result;
    int64_t steps; // how far it came
} ts_trial;

/* reset: called first, may be NULL. Everything lives in p->run until the next trial. */
deft_status ts_try(ts_program *p, const ts_spec *spec, const ts_states *states,
                   const ts_function *reset, ts_trial *t);
/* Has the root any? What C++ saved has none: it is a state dict. */
deft_status ts_has_methods(ts_program *p, bool *found);
/* The method forward of the root; DEFT_E_UNSUPPORTED. */
deft_status ts_forward(ts_program *p, const ts_function **out);
/* The method that sets the state back, NULL: there is none that can be called without arguments. */
deft_status ts_reset(ts_program *p, const ts_function **out);
/* Tensors of the result: their number, -1 after ts_fail; out and name [TS_MAX_STATES]. */
int32_t ts_results(ts_trial *t, ts_tensor **out, const char **name);
/* Adds what the trial changed; *more: a state that was not among them, or has another shape now. */
deft_status ts_find_states(ts_trial *t, ts_states *states, bool *more);
/* The graph value of a state after the step, -1 after ts_fail. */
int32_t ts_state_after(ts_trial *t, const ts_state *s);
/* Which inputs forward takes; ranks and dims are left open. */
deft_status ts_read_spec(ts_program *p, ts_spec *spec);
/* Shapes that fit the program. n_obs: said by the user, 0: to be found. *note: what had to be
 * assumed, or NULL. */
deft_status ts_find_shapes(ts_program *p, int32_t n_obs, ts_spec *spec, const char **note);
/* The trial as a graph in arena a. */
deft_status ts_build(ts_trial *t, const ts_states *states, deft_arena *a, deft_graph **out);
/* Do two graphs give the same for the same inputs? Inputs are matched by name: a may lack the last
 * elements of one, and may lack some at all, which are zeros for b. */
deft_status ts_compare(const deft_graph *a, const deft_graph *b, bool *same, deft_error *err);

deft_attr ts_attr_int(const char *name, int64_t v);
deft_attr ts_attr_float(const char *name, double v);

#endif
