// Convolution forward and backward over the oneDNN library of MindSpore's wheel, as operators for ops.Custom ("aot").
//
// Tensors are (N, C, H, W) or, where the configuration says so, (N, H, W, C). Each configuration of shapes has a plan,
// made when it is first met: oneDNN primitives, the reorders that they need, and where their memory lies.
#include "_shared.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace mindcv {

Shared &shared() {
  static Shared *value = new Shared;
  return *value;
}

namespace {

using namespace onednn;

constexpr size_t kMaxPlans = 4096;
constexpr int64_t kMatmulPixels = 64;  // from so many on, a matrix product without reorders is as fast

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void check(Status status, const char *what) {
  if (status != 0) throw Failure(std::string(what) + ": oneDNN status " + std::to_string(status));
}

const Library &dnn() { return shared().library; }

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

Arena &arena() {
  static Arena *value = new Arena;
  return *value;
}

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
    for (auto &step : steps_) dnn().primitive_destroy(step.primitive);
    for (auto &memory : memories_) dnn().memory_destroy(memory.memory);
  }

  // Memory of the tensor with this index.
  Memory tensor(int index, MemoryDesc desc) { return add_memory(desc, index, 0); }

  // Memory in the arena.
  Memory internal(MemoryDesc desc) {
    const size_t offset = bytes_;
    bytes_ += (dnn().memory_desc_get_size(desc) + 127) / 64 * 64;
    return add_memory(desc, -1, offset);
  }

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
    if (scratchpad && dnn().memory_desc_get_size(scratchpad) > 0) args.push_back({ARG_SCRATCHPAD, internal(scratchpad)});
    Primitive primitive;
    check(dnn().primitive_create(&primitive, description.desc), "primitive");
    steps_.push_back({primitive, std::move(args)});
  }

  void run(void *const *tensors) {
    char *base = arena().reserve(bytes_);
    if (clears_last) memset(tensors[advance.size() - 1], 0, last_bytes);
    for (int64_t repeat = 0; repeat < repeats; repeat++) {
      for (const auto &memory : memories_) {
        char *data = memory.index < 0 ? base + memory.offset : static_cast<char *>(tensors[memory.index]);
        if (memory.index >= 0 && repeat > 0) data += repeat * advance[memory.index];
        check(dnn().memory_set_data_handle(memory.memory, data), "memory");
      }
      for (const auto &step : steps_)
        check(dnn().primitive_execute(step.primitive, shared().stream, int(step.args.size()), step.args.data()),
              "execution");
    }
  }

 private:
  struct Step {
    Primitive primitive;
    std::vector<Arg> args;
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

// ---- convolutions

enum Kind { FORWARD = 0, BACKWARD_DATA = 1, BACKWARD_WEIGHTS = 2, DENSE_FORWARD, DENSE_BACKWARD_DATA, DENSE_BACKWARD_WEIGHTS };

// The configuration as it comes from Python (mindcv/kernels/convolution.py has the same order).
enum {
  STRIDE_H, STRIDE_W, PAD_TOP, PAD_BOTTOM, PAD_LEFT, PAD_RIGHT, DILATION_H, DILATION_W, GROUPS,
  SOURCE_LAST, RESULT_LAST, IN_BF16, CONFIGURATION_SIZE
};

struct Problem {
  int64_t n, ic, ih, iw, oc, kh, kw, oh, ow;
  int64_t top, bottom, left, right;
  int64_t config[CONFIGURATION_SIZE];
  bool has_bias;

  bool is_matmul() const {
    return kh == 1 && kw == 1 && config[STRIDE_H] == 1 && config[STRIDE_W] == 1 && config[GROUPS] == 1 && !top &&
           !bottom && !left && !right && !config[SOURCE_LAST] && !config[RESULT_LAST] && ih * iw >= kMatmulPixels &&
           !config[IN_BF16];  // whose factors are copied anyway
  }
};

// Zeros before and behind an axis: those given, or "same" where they are negative.
void pads(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, int64_t given_before, int64_t given_behind,
          int64_t &before, int64_t &behind, int64_t &out) {
  const int64_t reach = (kernel - 1) * dilation + 1;
  if (given_before < 0) {
    out = (in + stride - 1) / stride;
    const int64_t total = std::max<int64_t>((out - 1) * stride + reach - in, 0);
    before = total / 2;
    behind = total - before;
  } else {
    before = given_before;
    behind = given_behind;
    out = (in + before + behind - reach) / stride + 1;
    if (in + before + behind < reach) throw Failure("the kernel is larger than the image");
  }
}

Problem problem_of(const int64_t *x, const int64_t *w, const int64_t *config, bool has_bias) {
  Problem p;
  memcpy(p.config, config, sizeof p.config);
  const bool last = config[SOURCE_LAST];
  p.n = x[0];
  p.ic = last ? x[3] : x[1];
  p.ih = last ? x[1] : x[2];
  p.iw = last ? x[2] : x[3];
  p.oc = w[0];
  p.kh = w[2];
  p.kw = w[3];
  p.has_bias = has_bias;
  if (config[GROUPS] < 1 || w[1] * config[GROUPS] != p.ic || p.oc % config[GROUPS] != 0 || p.n < 1)
    throw Failure("shapes do not fit");
  pads(p.ih, p.kh, config[STRIDE_H], config[DILATION_H], config[PAD_TOP], config[PAD_BOTTOM], p.top, p.bottom, p.oh);
  pads(p.iw, p.kw, config[STRIDE_W], config[DILATION_W], config[PAD_LEFT], config[PAD_RIGHT], p.left, p.right, p.ow);
  return p;
}

// A 1x1 convolution of (N, C, H, W) as matrix products: oneDNN's first factor is the weight, so that nothing is turned.
std::unique_ptr<Plan> matmul_plan(Kind kind, const Problem &p) {
  auto plan = std::make_unique<Plan>();
  const int64_t pixels = p.ih * p.iw;
  Description description;
  if (kind == BACKWARD_WEIGHTS) {  // tensors: x, dy, dw; one product an image, summed
    Desc dy({p.oc, pixels}, F32, std::vector<int64_t>{pixels, 1}), x({pixels, p.ic}, F32, std::vector<int64_t>{1, pixels});
    Desc dw({p.oc, p.ic}, F32, std::vector<int64_t>{p.ic, 1});
    Attributes attributes(true);
    check(dnn().matmul_primitive_desc_create(&description.desc, shared().engine, dy, x, nullptr, dw, attributes.attr),
          "matmul");
    plan->add(description, {{ARG_SRC, plan->tensor(1, dy)}, {ARG_WEIGHTS, plan->tensor(0, x)}, {ARG_DST, plan->tensor(2, dw)}});
    plan->repeats = p.n;
    plan->advance = {int64_t(4) * p.ic * pixels, int64_t(4) * p.oc * pixels, 0};
    plan->clears_last = true;
    plan->last_bytes = size_t(4) * p.oc * p.ic;
  } else {
    const bool forward = kind == FORWARD;  // tensors: x, w, y; or dy, w, dx
    const int64_t in = forward ? p.ic : p.oc, out = forward ? p.oc : p.ic;
    Desc source({p.n, in, pixels}, F32, std::vector<int64_t>{in * pixels, pixels, 1});
    Desc result({p.n, out, pixels}, F32, std::vector<int64_t>{out * pixels, pixels, 1});
    Desc weight({1, out, in}, F32, std::vector<int64_t>{in * out, forward ? in : 1, forward ? 1 : out});
    Attributes attributes;
    check(dnn().matmul_primitive_desc_create(&description.desc, shared().engine, weight, source, nullptr, result,
                                             attributes.attr),
          "matmul");
    plan->add(description,
              {{ARG_SRC, plan->tensor(1, weight)}, {ARG_WEIGHTS, plan->tensor(0, source)}, {ARG_DST, plan->tensor(2, result)}});
  }
  plan->implementation = description.implementation();
  return plan;
}

std::unique_ptr<Plan> convolution_plan(Kind kind, const Problem &p) {
  auto plan = std::make_unique<Plan>();
  const int64_t g = p.config[GROUPS];
  const int64_t strides[] = {p.config[STRIDE_H], p.config[STRIDE_W]};
  const int64_t dilations[] = {p.config[DILATION_H] - 1, p.config[DILATION_W] - 1};
  const int64_t before[] = {p.top, p.left}, behind[] = {p.bottom, p.right};
  std::vector<int64_t> x_dims{p.n, p.ic, p.ih, p.iw}, y_dims{p.n, p.oc, p.oh, p.ow}, w_dims{p.oc, p.ic / g, p.kh, p.kw};
  if (g > 1) w_dims = {g, p.oc / g, p.ic / g, p.kh, p.kw};
  // As the tensors are
  Desc x(x_dims, F32, p.config[SOURCE_LAST] ? ACDB : ABCD), y(y_dims, F32, p.config[RESULT_LAST] ? ACDB : ABCD);
  Desc w(w_dims, F32, g > 1 ? ABCDE : ABCD), bias({p.oc}, F32, std::vector<int64_t>{1});
  // As the primitive has them: channels last, which all of oneDNN's fast kernels take, also of odd numbers of channels
  const int half = p.config[IN_BF16] ? BF16 : F32;
  Desc x_half(x_dims, half, ACDB), y_half(y_dims, half, ACDB), w_half(w_dims, half, ANY);
  Desc x_full(x_dims, F32, ACDB), y_full(y_dims, F32, ACDB), w_full(w_dims, F32, ANY);
  Attributes attributes;
  Engine engine = shared().engine;

  Description forward, description;
  const Desc none;
  check(dnn().convolution_forward_primitive_desc_create(
            &forward.desc, engine, FORWARD_TRAINING, CONVOLUTION_DIRECT, x_half, w_half,
            p.has_bias && kind == FORWARD ? bias : none, kind == FORWARD ? y_full : y_half, strides, dilations, before, behind,
            attributes.attr),
        "convolution");
  if (kind == FORWARD) {  // x, w, (bias,) y
    plan->implementation = forward.implementation();
    MemoryDesc wanted = forward.memory(QUERY_DST);
    const int result = p.has_bias ? 3 : 2;
    const bool direct = dnn().memory_desc_equal(wanted, y);
    Memory out = direct ? plan->tensor(result, y) : plan->internal(wanted);
    std::vector<Arg> args{{ARG_SRC, plan->input(0, x, forward.memory(QUERY_SRC))},
                          {ARG_WEIGHTS, plan->input(1, w, forward.memory(QUERY_WEIGHTS))},
                          {ARG_DST, out}};
    if (p.has_bias) args.push_back({ARG_BIAS, plan->tensor(2, bias)});
    plan->add(forward, args);
    if (!direct) plan->reorder(out, wanted, plan->tensor(result, y), y);
  } else if (kind == BACKWARD_DATA) {  // dy, w, dx
    check(dnn().convolution_backward_data_primitive_desc_create(&description.desc, engine, CONVOLUTION_DIRECT, x_full,
                                                                w_half, y_half, strides, dilations, before, behind,
                                                                forward.desc, attributes.attr),
          "convolution backward to data");
    plan->implementation = description.implementation();
    MemoryDesc wanted = description.memory(QUERY_DIFF_SRC);
    const bool direct = dnn().memory_desc_equal(wanted, x);
    Memory out = direct ? plan->tensor(2, x) : plan->internal(wanted);
    plan->add(description, {{ARG_DIFF_DST, plan->input(0, y, description.memory(QUERY_DIFF_DST))},
                            {ARG_WEIGHTS, plan->input(1, w, description.memory(QUERY_WEIGHTS))},
                            {ARG_DIFF_SRC, out}});
    if (!direct) plan->reorder(out, wanted, plan->tensor(2, x), x);
  } else {  // x, dy, dw
    check(dnn().convolution_backward_weights_primitive_desc_create(&description.desc, engine, CONVOLUTION_DIRECT, x_half,
                                                                   w_full, nullptr, y_half, strides, dilations, before,
                                                                   behind, forward.desc, attributes.attr),
          "convolution backward to weights");
    plan->implementation = description.implementation();
    MemoryDesc wanted = description.memory(QUERY_DIFF_WEIGHTS);
    const bool direct = dnn().memory_desc_equal(wanted, w);
    Memory out = direct ? plan->tensor(2, w) : plan->internal(wanted);
    plan->add(description, {{ARG_SRC, plan->input(0, x, description.memory(QUERY_SRC))},
                            {ARG_DIFF_DST, plan->input(1, y, description.memory(QUERY_DIFF_DST))},
                            {ARG_DIFF_WEIGHTS, out}});
    if (!direct) plan->reorder(out, wanted, plan->tensor(2, w), w);
  }
  return plan;
}

// A dense layer: (rows, in) to (rows, out) by a weight (out, in), and its gradients.
std::unique_ptr<Plan> dense_plan(Kind kind, int64_t rows, int64_t in, int64_t out, bool has_bias, bool in_bf16) {
  auto plan = std::make_unique<Plan>();
  const bool forward = kind == DENSE_FORWARD, to_data = kind == DENSE_BACKWARD_DATA;
  auto matrix = [](int64_t height, int64_t width, bool turned) {
    return Desc({height, width}, F32, std::vector<int64_t>{turned ? 1 : width, turned ? height : 1});
  };
  // y = x w', dx = dy w, dw = dy' x
  Desc first = forward ? matrix(rows, in, false) : to_data ? matrix(rows, out, false) : matrix(out, rows, true);
  Desc second = forward ? matrix(in, out, true) : to_data ? matrix(out, in, false) : matrix(rows, in, false);
  Desc result = forward ? matrix(rows, out, false) : to_data ? matrix(rows, in, false) : matrix(out, in, false);
  Desc bias({1, out}, F32, std::vector<int64_t>{out, 1});
  const Desc none;
  auto half = [](int64_t height, int64_t width) { return Desc({height, width}, BF16, ANY); };
  Desc first_half = half(forward || to_data ? rows : out, forward ? in : to_data ? out : rows);
  Desc second_half = half(forward ? in : to_data ? out : rows, forward ? out : in);
  Attributes attributes;
  Description description;
  check(dnn().matmul_primitive_desc_create(&description.desc, shared().engine, in_bf16 ? first_half : first,
                                           in_bf16 ? second_half : second, has_bias ? bias : none, result, attributes.attr),
        "matmul");
  std::vector<Arg> args{{ARG_SRC, plan->input(0, first, description.memory(QUERY_SRC))},
                        {ARG_WEIGHTS, plan->input(1, second, description.memory(QUERY_WEIGHTS))},
                        {ARG_DST, plan->tensor(has_bias ? 3 : 2, result)}};
  if (has_bias) args.push_back({ARG_BIAS, plan->tensor(2, bias)});
  plan->add(description, args);
  plan->implementation = description.implementation();
  return plan;
}

using Key = std::array<int64_t, 10 + CONFIGURATION_SIZE>;

std::map<Key, std::unique_ptr<Plan>> &plans() {
  static auto *value = new std::map<Key, std::unique_ptr<Plan>>;
  return *value;
}

// The plan of this key, made where there is none yet.
template <class Make>
Plan &plan_of(const Key &key, Make make) {
  auto found = plans().find(key);
  if (found != plans().end()) return *found->second;
  if (plans().size() >= kMaxPlans) plans().clear();
  check(dnn().threadpool_interop_set_max_concurrency(shared().pool.get_num_threads()), "concurrency");
  return *plans().emplace(key, make()).first->second;
}

Plan &dense_plan_for(Kind kind, int64_t rows, int64_t in, int64_t out, bool has_bias, bool in_bf16) {
  const Key key{kind, has_bias, rows, in, out, in_bf16};
  return plan_of(key, [&] { return dense_plan(kind, rows, in, out, has_bias, in_bf16); });
}

Plan &plan_for(Kind kind, const int64_t *x, const int64_t *w, const int64_t *config, bool has_bias) {
  Key key{};
  key[0] = kind;
  key[1] = has_bias;
  memcpy(&key[2], x, 4 * sizeof(int64_t));
  memcpy(&key[6], w, 4 * sizeof(int64_t));
  memcpy(&key[10], config, CONFIGURATION_SIZE * sizeof(int64_t));
  return plan_of(key, [&] {
    const Problem p = problem_of(x, w, config, has_bias);
    return p.is_matmul() ? matmul_plan(kind, p) : convolution_plan(kind, p);
  });
}

// bias over (N, OC, pixels), and its gradient; oneDNN's matrix product has no fast bias along rows.
void add_bias(float *y, const float *bias, int64_t n, int64_t channels, int64_t pixels) {
  const int threads = shared().pool.get_num_threads();
  shared().pool.parallel_for(threads, [&](int thread, int) {
    for (int64_t row = n * channels * thread / threads; row < n * channels * (thread + 1) / threads; row++) {
      float *values = y + row * pixels;
      const float value = bias[row % channels];
      for (int64_t i = 0; i < pixels; i++) values[i] += value;
    }
  });
}

void sum_bias(const float *dy, float *db, int64_t n, int64_t channels, int64_t pixels, bool last) {
  const int threads = shared().pool.get_num_threads();
  shared().pool.parallel_for(threads, [&](int thread, int) {
    const int64_t begin = channels * thread / threads, end = channels * (thread + 1) / threads;
    if (last) {
      std::vector<double> sums(end - begin, 0.0);
      for (int64_t row = 0; row < n * pixels; row++)
        for (int64_t c = begin; c < end; c++) sums[c - begin] += dy[row * channels + c];
      for (int64_t c = begin; c < end; c++) db[c] = float(sums[c - begin]);
      return;
    }
    for (int64_t c = begin; c < end; c++) {
      double total = 0.0;
      for (int64_t image = 0; image < n; image++) {
        const float *values = dy + (image * channels + c) * pixels;
        float lanes[16] = {};
        int64_t i = 0;
        for (; i + 16 <= pixels; i += 16)
          for (int lane = 0; lane < 16; lane++) lanes[lane] += values[i + lane];
        for (; i < pixels; i++) lanes[0] += values[i];
        for (float lane : lanes) total += lane;
      }
      db[c] = float(total);
    }
  });
}

std::string &last_error() {
  static auto *value = new std::string;
  return *value;
}

bool all_fp32(int n, const char *const *dtypes, int configuration) {
  for (int i = 0; i < n; i++)
    if (i != configuration && strcmp(dtypes[i], "float32") != 0) return false;
  return strcmp(dtypes[configuration], "int64") == 0;
}

int64_t rows_of(const int64_t *shape, int dims) {
  int64_t rows = 1;
  for (int i = 0; i + 1 < dims; i++) rows *= shape[i];
  return rows;
}

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

bool is_supported_name(const std::string &name) { return name.rfind("ref", 0) != 0 && name.find(":ref") == std::string::npos; }

void before_fork() { shared().mutex.lock(); }
void after_fork_in_parent() { shared().mutex.unlock(); }
void after_fork_in_child() {
  shared().pool.forget_threads();
  shared().mutex.unlock();
}

}  // namespace
}  // namespace mindcv

using namespace mindcv;

extern "C" {

// Changes with what the functions take, here and in mindcv/kernels/__init__.py, which uses no library of another number.
extern const int interface;
const int interface = 2;

// Takes the functions of the library at this path and makes the threads. `all_isa`: the library is our own copy, so it may
// use all of the processor, whatever the environment says for MindSpore's. Writes what is wrong, or nothing, to `problem`.
int mindcv_start(const char *path, int threads, int all_isa, int *version, char *problem, int size) {
  Shared &s = shared();
  std::lock_guard<std::mutex> lock(s.mutex);
  auto fail = [&](const std::string &what) {
    snprintf(problem, size, "%s", what.c_str());
    return 1;
  };
  problem[0] = 0;
  if (s.is_ready) return 0;
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | (all_isa ? RTLD_DEEPBIND : RTLD_NOLOAD));
  if (!handle) {
    const char *reason = dlerror();
    return fail(reason ? reason : "it is not loaded");
  }
  std::string missing;
#define MINDCV_LOAD(name, result, arguments)                                            \
  s.library.name = reinterpret_cast<result(*) arguments>(dlsym(handle, "dnnl_" #name)); \
  if (!s.library.name && missing.empty()) missing = "dnnl_" #name;
  MINDCV_ONEDNN_FUNCTIONS(MINDCV_LOAD)
#undef MINDCV_LOAD
  if (!missing.empty()) return fail("it has no function " + missing);
  const onednn::Version *found = s.library.version();
  version[0] = found->major;
  version[1] = found->minor;
  version[2] = found->patch;
  if (found->major != 3 || found->minor > 12) return fail("its version is not known here");
  if (found->cpu_runtime != onednn::RUNTIME_THREADPOOL) return fail("it brings threads of its own");
  if (all_isa) s.library.set_max_cpu_isa(onednn::ISA_DEFAULT);
  s.pool.set_threads(threads);
  if (s.library.engine_create(&s.engine, onednn::CPU, 0) != 0 ||
      s.library.threadpool_interop_stream_create(&s.stream, s.engine, &s.pool) != 0)
    return fail("it gives no CPU engine");
  pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  s.is_ready = true;
  return 0;
}

int mindcv_isa() { return shared().is_ready ? shared().library.get_effective_cpu_isa() : -1; }

// Makes the plans of a convolution. Returns 0 and the names of oneDNN's kernels, or 1 where one is a reference kernel,
// which is slower than MindSpore's own, or where it cannot be.
int mindcv_convolution_plans(const int64_t *x, const int64_t *w, const int64_t *config, int has_bias, int kinds,
                             char *names, int size) {
  names[0] = 0;
  const int result = guarded([&] {
    std::string text;
    bool supported = true;
    for (int kind = 0; kind < 3; kind++) {
      if (!(kinds & (1 << kind))) continue;
      const std::string &name = plan_for(Kind(kind), x, w, config, has_bias && kind == FORWARD).implementation;
      supported = supported && is_supported_name(name);
      text += (text.empty() ? "" : " ") + name;
    }
    snprintf(names, size, "%s", text.c_str());
    return supported ? 0 : 1;
  });
  if (result > 1) snprintf(names, size, "%s", last_error().c_str());
  return result;
}

// x, w, (bias,) configuration -> y
int ConvolutionForward(int n, void **data, int *, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 4 && n != 5) return BAD_ARGUMENTS;
  const bool has_bias = n == 5;
  const int configuration = n - 2;
  if (!all_fp32(n, dtypes, configuration)) return BAD_ARGUMENTS;
  return guarded([&] {
    const auto *config = static_cast<const int64_t *>(data[configuration]);
    const Problem p = problem_of(shapes[0], shapes[1], config, has_bias);
    if (p.is_matmul()) {
      void *tensors[] = {data[0], data[1], data[n - 1]};
      plan_for(FORWARD, shapes[0], shapes[1], config, false).run(tensors);
      if (has_bias) add_bias(static_cast<float *>(data[n - 1]), static_cast<const float *>(data[2]), p.n, p.oc, p.oh * p.ow);
    } else if (has_bias) {
      void *tensors[] = {data[0], data[1], data[2], data[n - 1]};
      plan_for(FORWARD, shapes[0], shapes[1], config, true).run(tensors);
    } else {
      void *tensors[] = {data[0], data[1], data[n - 1]};
      plan_for(FORWARD, shapes[0], shapes[1], config, false).run(tensors);
    }
    return int(OK);
  });
}

// dy, w, x (for its shape), configuration -> dx
int ConvolutionBackwardData(int n, void **data, int *, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 5 || !all_fp32(n, dtypes, 3)) return BAD_ARGUMENTS;
  return guarded([&] {
    void *tensors[] = {data[0], data[1], data[4]};
    plan_for(BACKWARD_DATA, shapes[2], shapes[1], static_cast<const int64_t *>(data[3]), false).run(tensors);
    return int(OK);
  });
}

// x, dy, w (for its shape), configuration -> dw (, dbias)
int ConvolutionBackwardWeights(int n, void **data, int *, int64_t **shapes, const char **dtypes, void *, void *) {
  if ((n != 5 && n != 6) || !all_fp32(n, dtypes, 3)) return BAD_ARGUMENTS;
  return guarded([&] {
    const auto *config = static_cast<const int64_t *>(data[3]);
    void *tensors[] = {data[0], data[1], data[4]};
    plan_for(BACKWARD_WEIGHTS, shapes[0], shapes[2], config, false).run(tensors);
    if (n == 6) {
      const Problem p = problem_of(shapes[0], shapes[2], config, true);
      sum_bias(static_cast<const float *>(data[1]), static_cast<float *>(data[5]), p.n, p.oc, p.oh * p.ow,
               config[RESULT_LAST]);
    }
    return int(OK);
  });
}

// x, w, (bias,) configuration {in bf16} -> y, over all but the last axis of x
int DenseForward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if ((n != 4 && n != 5) || !all_fp32(n, dtypes, n - 2)) return BAD_ARGUMENTS;
  return guarded([&] {
    const int64_t out = shapes[1][0], in = shapes[1][1], rows = rows_of(shapes[0], dims[0]);
    if (shapes[0][dims[0] - 1] != in) return int(BAD_ARGUMENTS);
    const bool in_bf16 = *static_cast<const int64_t *>(data[n - 2]);
    void *tensors[] = {data[0], data[1], data[n == 5 ? 2 : n - 1], data[n - 1]};
    dense_plan_for(DENSE_FORWARD, rows, in, out, n == 5, in_bf16).run(tensors);
    return int(OK);
  });
}

// dy, w, x (for its shape), configuration -> dx
int DenseBackwardData(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 5 || !all_fp32(n, dtypes, 3)) return BAD_ARGUMENTS;
  return guarded([&] {
    void *tensors[] = {data[0], data[1], data[4]};
    const bool in_bf16 = *static_cast<const int64_t *>(data[3]);
    dense_plan_for(DENSE_BACKWARD_DATA, rows_of(shapes[2], dims[2]), shapes[1][1], shapes[1][0], false, in_bf16).run(tensors);
    return int(OK);
  });
}

// dy, x, w (for its shape), configuration -> dw (, dbias)
int DenseBackwardWeights(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if ((n != 5 && n != 6) || !all_fp32(n, dtypes, 3)) return BAD_ARGUMENTS;
  return guarded([&] {
    const int64_t out = shapes[2][0], in = shapes[2][1], rows = rows_of(shapes[1], dims[1]);
    void *tensors[] = {data[0], data[1], data[4]};
    const bool in_bf16 = *static_cast<const int64_t *>(data[3]);
    dense_plan_for(DENSE_BACKWARD_WEIGHTS, rows, in, out, false, in_bf16).run(tensors);
    if (n == 6) sum_bias(static_cast<const float *>(data[0]), static_cast<float *>(data[5]), 1, out, rows, true);
    return int(OK);
  });
}

}  // extern "C"
