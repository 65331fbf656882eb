// Convolution forward and backward over the oneDNN library of MindSpore's wheel, as operators for ops.Custom ("aot").
//
// Tensors are (N, C, H, W) or, where the configuration says so, (N, H, W, C).
#include "_columns.h"
#include "_depthwise.h"
#include "_grouped.h"
#include "_plans.h"

#include <dlfcn.h>
#include <pthread.h>

namespace mindcv {

Shared &shared() {
  static Shared *value = new Shared;
  return *value;
}

Arena &arena() {
  static Arena *value = new Arena;
  return *value;
}

Arena &workspace() {
  static Arena *value = new Arena;
  return *value;
}

std::map<Key, std::unique_ptr<Plan>> &plans() {
  static auto *value = new std::map<Key, std::unique_ptr<Plan>>;
  return *value;
}

std::string &last_error() {
  static auto *value = new std::string;
  return *value;
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

namespace {

constexpr int64_t kMatmulPixels = 64;  // from so many on, a matrix product without reorders is as fast
constexpr int64_t kFewPixels = 128;    // up to so many of all images, turning a weight takes longer than the product

// ---- convolutions

// The configuration as it comes from Python (mindcv/kernels/convolution.py has the same order).
enum {
  STRIDE_H, STRIDE_W, PAD_TOP, PAD_BOTTOM, PAD_LEFT, PAD_RIGHT, DILATION_H, DILATION_W, GROUPS,
  SOURCE_LAST, RESULT_LAST, IN_BF16, HALF_MAPS, CONFIGURATION_SIZE
};

struct Problem {
  int64_t n, ic, ih, iw, oc, kh, kw, oh, ow;
  int64_t top, bottom, left, right;
  int64_t config[CONFIGURATION_SIZE];
  bool has_bias;

  bool is_matmul() const {
    return is_of_pixels() && config[GROUPS] == 1 && !config[SOURCE_LAST] && !config[RESULT_LAST] &&
           ih * iw >= kMatmulPixels && !config[IN_BF16];  // whose factors are copied anyway
  }

  // Whether it is a product with the weight as it lies in memory: of few pixels, and gives channels last.
  bool has_few_pixels() const {
    return config[GROUPS] == 1 && config[RESULT_LAST] && !config[IN_BF16] && !config[HALF_MAPS] &&
           n * oh * ow <= std::min(kFewPixels, oc);  // a matrix larger than the weight would not pay
  }

  // Whether a pixel of the result is of one of the source.
  bool is_of_pixels() const {
    return kh == 1 && kw == 1 && config[STRIDE_H] == 1 && config[STRIDE_W] == 1 && !top && !bottom && !left && !right;
  }

  Columns columns() const {
    return {n, ic, ih, iw, oh, ow, kh, kw, config[STRIDE_H], config[STRIDE_W], config[DILATION_H], config[DILATION_W],
            top, left, bool(config[SOURCE_LAST])};
  }

  Grouped grouped() const {
    return {long(n), long(ic), long(ih), long(iw), long(oh), long(ow), long(config[STRIDE_H]), long(top), long(left),
            long(ic / config[GROUPS])};
  }

  Depthwise depthwise() const {
    return {long(n),   long(ic),  long(ih), long(iw), long(oh), long(ow), long(kh), long(config[STRIDE_H]),
            long(top), long(left)};
  }

  // Whether a kernel of ours does it, and not oneDNN.
  bool is_depthwise(Kind kind) const {
    return kind == BACKWARD_WEIGHTS && ic == oc && config[GROUPS] == ic && kh == kw &&
           config[STRIDE_H] == config[STRIDE_W] && config[DILATION_H] == 1 && config[DILATION_W] == 1 &&
           config[SOURCE_LAST] && config[RESULT_LAST] && !config[IN_BF16] && !config[HALF_MAPS] &&
           has_depthwise(depthwise());
  }

  bool is_grouped(Kind kind) const {
    return kh == 3 && kw == 3 && ic == oc && config[STRIDE_H] == config[STRIDE_W] && config[DILATION_H] == 1 &&
           config[DILATION_W] == 1 && config[SOURCE_LAST] && config[RESULT_LAST] && !config[IN_BF16] &&
           !config[HALF_MAPS] && !has_bias && (kind != BACKWARD_DATA || config[STRIDE_H] == 1) &&
           has_grouped(grouped());
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
    Desc dy({p.oc, pixels}, F32, std::vector<int64_t>{pixels, 1}),
        x({pixels, p.ic}, F32, std::vector<int64_t>{1, pixels});
    Desc dw({p.oc, p.ic}, F32, std::vector<int64_t>{p.ic, 1});
    Attributes attributes(true);
    check(dnn().matmul_primitive_desc_create(&description.desc, shared().engine, dy, x, nullptr, dw, attributes.attr),
          "matmul");
    plan->add(description,
              {{ARG_SRC, plan->tensor(1, dy)}, {ARG_WEIGHTS, plan->tensor(0, x)}, {ARG_DST, plan->tensor(2, dw)}});
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
    plan->add(description, {{ARG_SRC, plan->tensor(1, weight)},
                            {ARG_WEIGHTS, plan->tensor(0, source)},
                            {ARG_DST, plan->tensor(2, result)}});
  }
  plan->implementation = description.implementation();
  return plan;
}

// A convolution of few pixels as a product: y = m w', dm = dy w, dw = dy' m, where m has a row for each pixel
// of y, and w is (OC, IC * KH * KW), as it lies in memory.
std::unique_ptr<Plan> columns_plan(Kind kind, const Problem &p) {
  auto plan = std::make_unique<Plan>();
  const int64_t rows = p.n * p.oh * p.ow, width = p.ic * p.kh * p.kw;
  const Columns columns = p.columns();
  const bool is_map = p.is_of_pixels() && p.config[SOURCE_LAST];  // the matrix is the map
  const size_t place = is_map ? 0 : plan->room(size_t(rows * width) * sizeof(float));
  // The matrix; tensor `index` is the map.
  auto memory_of_matrix = [&](int index, MemoryDesc desc) {
    return is_map ? plan->tensor(index, desc) : plan->at(place, desc);
  };
  const Desc m = matrix(rows, width, false), none;
  Attributes attributes;
  Description description;
  auto describe = [&](MemoryDesc first, MemoryDesc second, MemoryDesc bias, MemoryDesc result) {
    check(dnn().matmul_primitive_desc_create(&description.desc, shared().engine, first, second, bias, result,
                                             attributes.attr),
          "matmul");
    plan->implementation = "columns:" + description.implementation();
  };
  if (kind != BACKWARD_DATA && !is_map)
    plan->add([columns, place](void *const *tensors, char *base) {
      columns_of(columns, static_cast<const float *>(tensors[0]), reinterpret_cast<float *>(base + place));
    });
  if (kind == FORWARD) {  // x, w, (bias,) y
    const Desc w = matrix(width, p.oc, true), y = matrix(rows, p.oc, false), bias = matrix(1, p.oc, false);
    describe(m, w, p.has_bias ? bias : none, y);
    std::vector<Arg> args{{ARG_SRC, memory_of_matrix(0, m)},
                          {ARG_WEIGHTS, plan->tensor(1, w)},
                          {ARG_DST, plan->tensor(p.has_bias ? 3 : 2, y)}};
    if (p.has_bias) args.push_back({ARG_BIAS, plan->tensor(2, bias)});
    plan->add(description, args);
  } else if (kind == BACKWARD_DATA) {  // dy, w, dx
    const Desc dy = matrix(rows, p.oc, false), w = matrix(p.oc, width, false);
    describe(dy, w, none, m);
    plan->add(description,
              {{ARG_SRC, plan->tensor(0, dy)}, {ARG_WEIGHTS, plan->tensor(1, w)}, {ARG_DST, memory_of_matrix(2, m)}});
    if (!is_map)
      plan->add([columns, place](void *const *tensors, char *base) {
        add_columns(columns, reinterpret_cast<const float *>(base + place), static_cast<float *>(tensors[2]));
      });
  } else {  // x, dy, dw
    const Desc dy = matrix(p.oc, rows, true), dw = matrix(p.oc, width, false);
    describe(dy, m, none, dw);
    plan->add(description,
              {{ARG_SRC, plan->tensor(1, dy)}, {ARG_WEIGHTS, memory_of_matrix(0, m)}, {ARG_DST, plan->tensor(2, dw)}});
  }
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
  const int map = p.config[HALF_MAPS] ? BF16 : F32;
  Desc x(x_dims, map, p.config[SOURCE_LAST] ? ACDB : ABCD), y(y_dims, map, p.config[RESULT_LAST] ? ACDB : ABCD);
  Desc w(w_dims, F32, g > 1 ? ABCDE : ABCD), bias({p.oc}, F32, std::vector<int64_t>{1});
  // As the primitive has them: channels last, which all of oneDNN's fast kernels take, also of odd numbers of channels
  const int half = p.config[IN_BF16] ? BF16 : F32;
  Desc x_half(x_dims, half, ACDB), y_half(y_dims, half, ACDB), w_half(w_dims, half, ANY);
  Desc x_full(x_dims, map, ACDB), y_full(y_dims, map, ACDB), w_full(w_dims, F32, ANY);
  Attributes attributes;
  Engine engine = shared().engine;

  Description forward, description;
  const Desc none;
  check(dnn().convolution_forward_primitive_desc_create(&forward.desc, engine, FORWARD_TRAINING, CONVOLUTION_DIRECT,
                                                        x_half, w_half, p.has_bias && kind == FORWARD ? bias : none,
                                                        kind == FORWARD ? y_full : y_half, strides, dilations, before,
                                                        behind, attributes.attr),
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
    check(dnn().convolution_backward_weights_primitive_desc_create(&description.desc, engine, CONVOLUTION_DIRECT,
                                                                   x_half, w_full, nullptr, y_half, strides, dilations,
                                                                   before, behind, forward.desc, attributes.attr),
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

Plan &plan_for(Kind kind, const int64_t *x, const int64_t *w, const int64_t *config, bool has_bias) {
  Key key{};
  key[0] = kind;
  key[1] = has_bias;
  memcpy(&key[2], x, 4 * sizeof(int64_t));
  memcpy(&key[6], w, 4 * sizeof(int64_t));
  memcpy(&key[10], config, CONFIGURATION_SIZE * sizeof(int64_t));
  return plan_of(key, [&] {
    const Problem p = problem_of(x, w, config, has_bias);
    if (p.is_grouped(kind)) {
      auto plan = std::make_unique<Plan>();  // a name, and nothing for oneDNN to do
      plan->implementation = "grouped:avx512";
      return plan;
    }
    if (p.has_few_pixels()) return columns_plan(kind, p);
    if (p.is_depthwise(kind)) {
      auto plan = std::make_unique<Plan>();
      plan->implementation = "depthwise:avx512";
      return plan;
    }
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

// Whether the maps among the tensors are of the configuration's type, and all others fp32.
bool has_types(int n, void **data, const char *const *dtypes, std::initializer_list<int> maps, int configuration) {
  if (strcmp(dtypes[configuration], "int64") != 0) return false;
  const bool half = static_cast<const int64_t *>(data[configuration])[HALF_MAPS];
  for (int i = 0; i < n; i++) {
    const bool is_map = std::find(maps.begin(), maps.end(), i) != maps.end();
    if (i != configuration && strcmp(dtypes[i], is_map && half ? "bfloat16" : "float32") != 0) return false;
  }
  return true;
}

bool is_supported_name(const std::string &name) {
  return name.rfind("ref", 0) != 0 && name.find(":ref") == std::string::npos;
}

constexpr int64_t kLargest = int64_t(1) << 32;  // of a side, a stride and so on in a key that comes from a file

// Makes the plan of a key.
void make_plan(const Key &key) {
  auto require = [&](int begin, int end, int64_t least) {
    for (int i = begin; i < end; i++)
      if (key[i] < least || key[i] > kLargest) throw Failure("no key");
  };
  switch (key[0]) {
    case FORWARD:
    case BACKWARD_DATA:
    case BACKWARD_WEIGHTS:
      require(1, 2, 0);
      require(2, 10 + PAD_TOP, 1);  // the shapes and strides
      require(10 + PAD_TOP, 10 + DILATION_H, -1);
      require(10 + DILATION_H, 10 + GROUPS + 1, 1);
      require(10 + SOURCE_LAST, 10 + CONFIGURATION_SIZE, 0);
      plan_for(Kind(key[0]), &key[2], &key[6], &key[10], key[1]);
      break;
    case DENSE_FORWARD:
    case DENSE_BACKWARD_DATA:
    case DENSE_BACKWARD_WEIGHTS:
      require(1, 2, 0);
      require(2, 5, 1);
      dense_plan_for(Kind(key[0]), key[2], key[3], key[4], key[1], key[5], key[6]);
      break;
    case PRODUCTS:
      require(1, 5, 1);
      products(key[1], key[2], key[3], key[4], key[5], key[6]);
      break;
    case LAYOUT:
      require(3, 7, 1);
      layout_plan(&key[3], key[1], key[2]);
      break;
    default: throw Failure("no key");
  }
}

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

// Changes with what the functions take, here and in mindcv/kernels/__init__.py, which uses no library of another
// number.
extern const int interface;
const int interface = 9;

// Takes the functions of the library at this path and makes the threads. `all_isa`: the library is our own copy, so it
// may use all of the processor, whatever the environment says for MindSpore's. Writes what is wrong, or nothing, to
// `problem`.
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

// Writes the keys of the plans that there are, each KEY_SIZE numbers, as far as there is room; returns how many there
// are.
int mindcv_plan_keys(int64_t *keys, int room) {
  std::lock_guard<std::mutex> lock(shared().mutex);
  int count = 0;
  for (const auto &plan : plans())
    if (count++ < room) memcpy(keys + (count - 1) * KEY_SIZE, plan.first.data(), sizeof plan.first);
  return count;
}

// Makes plans of such keys before they are needed, each while no operator runs. What cannot be made is left out: the
// operator that asks for it says why.
void mindcv_make_plans(const int64_t *keys, int count) {
  for (int i = 0; i < count; i++) {
    std::lock_guard<std::mutex> lock(shared().mutex);
    if (!shared().is_ready) return;
    Key key;
    memcpy(key.data(), keys + i * KEY_SIZE, sizeof key);
    try {
      make_plan(key);
    } catch (const std::exception &) {
    }
  }
}

// x, w, (bias,) configuration -> y
int ConvolutionForward(int n, void **data, int *, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 4 && n != 5) return BAD_ARGUMENTS;
  const bool has_bias = n == 5;
  const int configuration = n - 2;
  if (!has_types(n, data, dtypes, {0, n - 1}, configuration)) return BAD_ARGUMENTS;
  return guarded([&] {
    const auto *config = static_cast<const int64_t *>(data[configuration]);
    const Problem p = problem_of(shapes[0], shapes[1], config, has_bias);
    if (p.is_grouped(FORWARD)) {
      grouped_forward(p.grouped(), static_cast<const float *>(data[0]), static_cast<const float *>(data[1]),
                      static_cast<float *>(data[n - 1]));
    } else if (p.is_matmul()) {
      void *tensors[] = {data[0], data[1], data[n - 1]};
      plan_for(FORWARD, shapes[0], shapes[1], config, false).run(tensors);
      if (has_bias)
        add_bias(static_cast<float *>(data[n - 1]), static_cast<const float *>(data[2]), p.n, p.oc, p.oh * p.ow);
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
  if (n != 5 || !has_types(n, data, dtypes, {0, 2, 4}, 3)) return BAD_ARGUMENTS;
  return guarded([&] {
    const auto *config = static_cast<const int64_t *>(data[3]);
    const Problem p = problem_of(shapes[2], shapes[1], config, false);
    if (p.is_grouped(BACKWARD_DATA)) {
      grouped_backward_data(p.grouped(), static_cast<const float *>(data[0]), static_cast<const float *>(data[1]),
                            static_cast<float *>(data[4]));
      return int(OK);
    }
    void *tensors[] = {data[0], data[1], data[4]};
    plan_for(BACKWARD_DATA, shapes[2], shapes[1], config, false).run(tensors);
    return int(OK);
  });
}

// x, dy, w (for its shape), configuration -> dw (, dbias)
int ConvolutionBackwardWeights(int n, void **data, int *, int64_t **shapes, const char **dtypes, void *, void *) {
  if ((n != 5 && n != 6) || !has_types(n, data, dtypes, {0, 1}, 3)) return BAD_ARGUMENTS;
  return guarded([&] {
    const auto *config = static_cast<const int64_t *>(data[3]);
    const Problem p = problem_of(shapes[0], shapes[2], config, false);
    if (p.is_grouped(BACKWARD_WEIGHTS)) {
      grouped_backward_weights(p.grouped(), static_cast<const float *>(data[0]), static_cast<const float *>(data[1]),
                               static_cast<float *>(data[4]));
    } else if (p.is_depthwise(BACKWARD_WEIGHTS)) {
      depthwise_backward_weights(p.depthwise(), static_cast<const float *>(data[0]),
                                 static_cast<const float *>(data[1]), static_cast<float *>(data[4]));
    } else {
      void *tensors[] = {data[0], data[1], data[4]};
      plan_for(BACKWARD_WEIGHTS, shapes[0], shapes[2], config, false).run(tensors);
    }
    if (n == 6) {
      if (config[HALF_MAPS]) return int(BAD_ARGUMENTS);
      sum_bias(static_cast<const float *>(data[1]), static_cast<float *>(data[5]), p.n, p.oc, p.oh * p.ow,
               config[RESULT_LAST]);
    }
    return int(OK);
  });
}

}  // extern "C"
