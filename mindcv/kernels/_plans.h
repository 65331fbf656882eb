// Plans: oneDNN primitives, the reorders that they need, and where their memory lies. Each is made when its problem is
// first met.
#ifndef MINDCV_PLANS_H
#define MINDCV_PLANS_H

#include <stdlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "_shared.h"

namespace mindcv {

using namespace onednn;

constexpr size_t kMaxPlans = 4096;

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void check(Status status, const char *what) {
  if (status != 0) throw Failure(std::string(what) + ": oneDNN status " + std::to_string(status));
}

inline const Library &dnn() { return shared().library; }

// ---- memory that plans share: only one runs at a time

class Arena {
 public:
  char *reserve(size_t bytes) {
    if (bytes > size_) {
      free(data_);
      data_ = nullptr;
      size_ = 0;
      if (posix_memalign(&data_, 4096, bytes) != 0) throw Failure("out of memory");
      size_ = bytes;
    }
    return static_cast<char *>(data_);
  }

 private:
  void *data_ = nullptr;
  size_t size_ = 0;
};

Arena &arena();
// For what an operator computes before or behind its plans.
Arena &workspace();

// ---- owners of oneDNN's objects

class Desc {
 public:
  Desc() = default;
  Desc(std::vector<int64_t> dims, int type, int tag) {
    check(dnn().memory_desc_create_with_tag(&desc_, int(dims.size()), dims.data(), type, tag), "memory description");
  }
  Desc(std::vector<int64_t> dims, int type, std::vector<int64_t> strides) {
    check(dnn().memory_desc_create_with_strides(&desc_, int(dims.size()), dims.data(), type, strides.data()),
          "memory description");
  }
  Desc(const Desc &) = delete;
  Desc &operator=(const Desc &) = delete;
  Desc(Desc &&other) noexcept : desc_(other.desc_) { other.desc_ = nullptr; }
  ~Desc() {
    if (desc_) dnn().memory_desc_destroy(desc_);
  }
  operator MemoryDesc() const { return desc_; }

 private:
  MemoryDesc desc_ = nullptr;
};

// A matrix of fp32; turned: of which rows lie in memory as columns.
inline Desc matrix(int64_t height, int64_t width, bool turned) {
  return Desc({height, width}, F32, std::vector<int64_t>{turned ? 1 : width, turned ? height : 1});
}

struct Attributes {
  Attr attr = nullptr;
  explicit Attributes(bool accumulates = false) {
    check(dnn().primitive_attr_create(&attr), "attributes");
    check(dnn().primitive_attr_set_scratchpad_mode(attr, SCRATCHPAD_USER), "scratchpad mode");
    if (accumulates) {
      PostOps ops;
      check(dnn().post_ops_create(&ops), "sum");
      check(dnn().post_ops_append_sum(ops, 1.0f, 0, UNDEFINED), "sum");
      check(dnn().primitive_attr_set_post_ops(attr, ops), "sum");
      dnn().post_ops_destroy(ops);
    }
  }
  Attributes(const Attributes &) = delete;
  Attributes &operator=(const Attributes &) = delete;
  ~Attributes() { dnn().primitive_attr_destroy(attr); }
};

struct Description {  // of a primitive
  PrimitiveDesc desc = nullptr;
  Description() = default;
  Description(const Description &) = delete;
  Description &operator=(const Description &) = delete;
  ~Description() {
    if (desc) dnn().primitive_desc_destroy(desc);
  }
  MemoryDesc memory(int query) const { return dnn().primitive_desc_query_md(desc, query, 0); }
  std::string implementation() const {
    const char *name = nullptr;
    return dnn().primitive_desc_query(desc, QUERY_IMPLEMENTATION, 0, &name) == 0 && name ? name : "unknown";
  }
};

// ---- a plan

class Plan {
 public:
  std::string implementation;  // of the primitive that does the work
  int64_t repeats = 1;         // runs of all steps, with tensors moved on by so many bytes each
  std::vector<int64_t> advance;
  bool clears_last = false;  // the last tensor is summed into, so it starts as zeros
  size_t last_bytes = 0;

  Plan() = default;
  Plan(const Plan &) = delete;
  Plan &operator=(const Plan &) = delete;
  ~Plan() {
    for (auto &step : steps_)
      if (step.primitive) dnn().primitive_destroy(step.primitive);
    for (auto &memory : memories_) dnn().memory_destroy(memory.memory);
  }

  // Memory of the tensor with this index.
  Memory tensor(int index, MemoryDesc desc) { return add_memory(desc, index, 0); }

  // Memory in the arena.
  Memory internal(MemoryDesc desc) { return at(room(dnn().memory_desc_get_size(desc)), desc); }

  // The tensor in another layout, by a reorder before the steps that follow; itself where it has it.
  Memory input(int index, MemoryDesc given, MemoryDesc wanted) {
    if (dnn().memory_desc_equal(given, wanted)) return tensor(index, given);
    Memory from = tensor(index, given), to = internal(wanted);
    reorder(from, given, to, wanted);
    return to;
  }

  void reorder(Memory from, MemoryDesc given, Memory to, MemoryDesc wanted) {
    Attributes attributes;
    Description description;
    check(dnn().reorder_primitive_desc_create(&description.desc, given, shared().engine, wanted, shared().engine,
                                              attributes.attr),
          "reorder");
    add(description, {{ARG_SRC, from}, {ARG_DST, to}});
  }

  void add(const Description &description, std::vector<Arg> args) {
    MemoryDesc scratchpad = description.memory(QUERY_SCRATCHPAD);
    if (scratchpad && dnn().memory_desc_get_size(scratchpad) > 0)
      args.push_back({ARG_SCRATCHPAD, internal(scratchpad)});
    Primitive primitive;
    check(dnn().primitive_create(&primitive, description.desc), "primitive");
    steps_.push_back({primitive, std::move(args), nullptr});
  }

  // A step of our own: called with the tensors, and the start of the memory that `room` gives places in.
  void add(std::function<void(void *const *tensors, char *base)> work) {
    steps_.push_back({nullptr, {}, std::move(work)});
  }

  // Where so many bytes lie in the arena.
  size_t room(size_t bytes) {
    const size_t offset = bytes_;
    bytes_ += (bytes + 127) / 64 * 64;
    return offset;
  }

  // Memory at such a place.
  Memory at(size_t offset, MemoryDesc desc) { return add_memory(desc, -1, offset); }

  void run(void *const *tensors) {
    char *base = arena().reserve(bytes_);
    if (clears_last) memset(tensors[advance.size() - 1], 0, last_bytes);
    for (int64_t repeat = 0; repeat < repeats; repeat++) {
      for (const auto &memory : memories_) {
        char *data = memory.index < 0 ? base + memory.offset : static_cast<char *>(tensors[memory.index]);
        if (memory.index >= 0 && repeat > 0) data += repeat * advance[memory.index];
        check(dnn().memory_set_data_handle(memory.memory, data), "memory");
      }
      for (const auto &step : steps_) {
        if (step.work)
          step.work(tensors, base);
        else
          check(dnn().primitive_execute(step.primitive, shared().stream, int(step.args.size()), step.args.data()),
                "execution");
      }
    }
  }

 private:
  struct Step {
    Primitive primitive;  // or
    std::vector<Arg> args;
    std::function<void(void *const *, char *)> work;
  };
  struct Place {
    Memory memory;
    int index;  // of the tensor; -1: in the arena
    size_t offset;
  };

  Memory add_memory(MemoryDesc desc, int index, size_t offset) {
    Memory memory;
    check(dnn().memory_create(&memory, desc, shared().engine, nullptr), "memory");
    memories_.push_back({memory, index, offset});
    return memory;
  }

  std::vector<Step> steps_;
  std::vector<Place> memories_;
  size_t bytes_ = 0;
};

enum Kind {
  FORWARD = 0, BACKWARD_DATA = 1, BACKWARD_WEIGHTS = 2, DENSE_FORWARD, DENSE_BACKWARD_DATA, DENSE_BACKWARD_WEIGHTS,
  PRODUCTS, LAYOUT
};

constexpr int KEY_SIZE = 24;
using Key = std::array<int64_t, KEY_SIZE>;

std::map<Key, std::unique_ptr<Plan>> &plans();

// The plan of this key, made where there is none yet.
template <class Make>
Plan &plan_of(const Key &key, Make make) {
  auto found = plans().find(key);
  if (found != plans().end()) return *found->second;
  if (plans().size() >= kMaxPlans) plans().clear();
  check(dnn().threadpool_interop_set_max_concurrency(shared().pool.get_num_threads()), "concurrency");
  return *plans().emplace(key, make()).first->second;
}

// Those of which not only the operator's file makes plans.
Plan &dense_plan_for(Kind kind, int64_t rows, int64_t in, int64_t out, bool has_bias, bool in_bf16, bool accumulates);
Plan &products(int64_t count, int64_t m, int64_t k, int64_t n, bool turns_first, bool turns_second);
Plan &layout_plan(const int64_t *x, bool to_last, bool is_half);

// ---- operators

// The text of the last failure.
std::string &last_error();

inline bool all_fp32(int n, const char *const *dtypes, int configuration) {
  for (int i = 0; i < n; i++)
    if (i != configuration && strcmp(dtypes[i], "float32") != 0) return false;
  return strcmp(dtypes[configuration], "int64") == 0;
}

// Runs an operator's work alone.
template <class Work>
int guarded(Work work) {
  Shared &s = shared();
  std::lock_guard<std::mutex> lock(s.mutex);
  if (!s.is_ready) return NOT_READY;
  try {
    return work();
  } catch (const std::exception &error) {
    last_error() = error.what();
    fprintf(stderr, "mindcv kernels: %s\n", error.what());
    return FAILED;
  }
}

// Sums over images and pixels: the gradient of a bias.
void sum_bias(const float *dy, float *db, int64_t n, int64_t channels, int64_t pixels, bool last);

}  // namespace mindcv

#endif  // MINDCV_PLANS_H
