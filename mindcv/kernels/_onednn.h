// The part of oneDNN's C interface (3.x) that the kernels use, declared here because the library comes with MindSpore's
// wheel and its headers do not. Names and values are those of oneDNN's public headers; a leading `dnnl_` is left out.
#ifndef MINDCV_ONEDNN_H
#define MINDCV_ONEDNN_H

#include <cstddef>
#include <cstdint>
#include <functional>

namespace onednn {

constexpr int MAX_DIMS = 12;
using Dims = int64_t[MAX_DIMS];
using Status = int;  // 0 is success

struct Version {
  int major, minor, patch;
  const char *hash;
  unsigned cpu_runtime, gpu_runtime;
};
constexpr unsigned RUNTIME_THREADPOOL = 8;

using Engine = struct EngineStruct *;
using Stream = struct StreamStruct *;
using MemoryDesc = struct MemoryDescStruct *;
using Memory = struct MemoryStruct *;
using PrimitiveDesc = struct PrimitiveDescStruct *;
using Primitive = struct PrimitiveStruct *;
using Attr = struct AttrStruct *;
using PostOps = struct PostOpsStruct *;

struct Arg {
  int index;
  Memory memory;
};

enum { CPU = 1 };
enum { ISA_DEFAULT = 0 };
enum DataType { UNDEFINED = 0, BF16 = 2, F32 = 3 };
enum FormatTag { ANY = 1, ABCD = 5, ABCDE = 6, ACDB = 22 };
enum { FORWARD_TRAINING = 64 };
enum { CONVOLUTION_DIRECT = 1 };
enum { SCRATCHPAD_USER = 1 };
enum Query {
  QUERY_IMPLEMENTATION = 8,
  QUERY_SRC = 129,
  QUERY_DIFF_SRC = 130,
  QUERY_WEIGHTS = 131,
  QUERY_DIFF_WEIGHTS = 132,
  QUERY_DST = 133,
  QUERY_DIFF_DST = 134,
  QUERY_SCRATCHPAD = 136,
};
enum ArgIndex {
  ARG_SRC = 1,
  ARG_DST = 17,
  ARG_WEIGHTS = 33,
  ARG_BIAS = 41,
  ARG_SCRATCHPAD = 80,
  ARG_DIFF_SRC = 129,
  ARG_DIFF_DST = 145,
  ARG_DIFF_WEIGHTS = 161,
};

// What oneDNN calls to run its work on threads that are not its own. The order of the functions is its interface.
struct ThreadPoolInterface {
  virtual int get_num_threads() const = 0;
  virtual bool get_in_parallel() const = 0;
  virtual void parallel_for(int n, const std::function<void(int, int)> &fn) = 0;
  virtual uint64_t get_flags() const = 0;
  virtual void wait() = 0;  // since 3.11; older libraries do not call it
  virtual ~ThreadPoolInterface() = default;
};

// name, result, arguments
#define MINDCV_ONEDNN_FUNCTIONS(F)                                                                                     \
  F(version, const Version *, ())                                                                                      \
  F(set_max_cpu_isa, Status, (int))                                                                                    \
  F(get_effective_cpu_isa, int, ())                                                                                    \
  F(engine_create, Status, (Engine *, int, size_t))                                                                    \
  F(threadpool_interop_stream_create, Status, (Stream *, Engine, void *))                                              \
  F(threadpool_interop_set_max_concurrency, Status, (int))                                                             \
  F(memory_desc_create_with_tag, Status, (MemoryDesc *, int, const int64_t *, int, int))                               \
  F(memory_desc_create_with_strides, Status, (MemoryDesc *, int, const int64_t *, int, const int64_t *))               \
  F(memory_desc_clone, Status, (MemoryDesc *, MemoryDesc))                                                             \
  F(memory_desc_destroy, Status, (MemoryDesc))                                                                         \
  F(memory_desc_equal, int, (MemoryDesc, MemoryDesc))                                                                  \
  F(memory_desc_get_size, size_t, (MemoryDesc))                                                                        \
  F(memory_create, Status, (Memory *, MemoryDesc, Engine, void *))                                                     \
  F(memory_set_data_handle, Status, (Memory, void *))                                                                  \
  F(memory_destroy, Status, (Memory))                                                                                  \
  F(convolution_forward_primitive_desc_create, Status,                                                                 \
    (PrimitiveDesc *, Engine, int, int, MemoryDesc, MemoryDesc, MemoryDesc, MemoryDesc, const int64_t *,               \
     const int64_t *, const int64_t *, const int64_t *, Attr))                                                         \
  F(convolution_backward_data_primitive_desc_create, Status,                                                           \
    (PrimitiveDesc *, Engine, int, MemoryDesc, MemoryDesc, MemoryDesc, const int64_t *, const int64_t *,               \
     const int64_t *, const int64_t *, PrimitiveDesc, Attr))                                                           \
  F(convolution_backward_weights_primitive_desc_create, Status,                                                        \
    (PrimitiveDesc *, Engine, int, MemoryDesc, MemoryDesc, MemoryDesc, MemoryDesc, const int64_t *, const int64_t *,   \
     const int64_t *, const int64_t *, PrimitiveDesc, Attr))                                                           \
  F(matmul_primitive_desc_create, Status,                                                                              \
    (PrimitiveDesc *, Engine, MemoryDesc, MemoryDesc, MemoryDesc, MemoryDesc, Attr))                                   \
  F(reorder_primitive_desc_create, Status, (PrimitiveDesc *, MemoryDesc, Engine, MemoryDesc, Engine, Attr))            \
  F(primitive_desc_query, Status, (PrimitiveDesc, int, int, void *))                                                   \
  F(primitive_desc_query_md, MemoryDesc, (PrimitiveDesc, int, int))                                                    \
  F(primitive_desc_destroy, Status, (PrimitiveDesc))                                                                   \
  F(primitive_create, Status, (Primitive *, PrimitiveDesc))                                                            \
  F(primitive_execute, Status, (Primitive, Stream, int, const Arg *))                                                  \
  F(primitive_destroy, Status, (Primitive))                                                                            \
  F(primitive_attr_create, Status, (Attr *))                                                                           \
  F(primitive_attr_set_scratchpad_mode, Status, (Attr, int))                                                           \
  F(primitive_attr_set_post_ops, Status, (Attr, PostOps))                                                              \
  F(primitive_attr_destroy, Status, (Attr))                                                                            \
  F(post_ops_create, Status, (PostOps *))                                                                              \
  F(post_ops_append_sum, Status, (PostOps, float, int32_t, int))                                                       \
  F(post_ops_destroy, Status, (PostOps))

struct Library {
#define MINDCV_DECLARE(name, result, arguments) result(*name) arguments = nullptr;
  MINDCV_ONEDNN_FUNCTIONS(MINDCV_DECLARE)
#undef MINDCV_DECLARE
};

}  // namespace onednn

#endif  // MINDCV_ONEDNN_H
