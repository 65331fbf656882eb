// The kernels' threads: as many as asked for, the calling one among them.
#ifndef MINDCV_THREADS_H
#define MINDCV_THREADS_H

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>

#include "_onednn.h"

namespace mindcv {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Task i of a parallel loop runs on thread i % threads, always: what is summed is summed in the same order.
// One loop at a time: whoever calls holds the kernels' mutex. The object is never destroyed, as its threads may sleep
// in it.
class Pool : public onednn::ThreadPoolInterface {
 public:
  void set_threads(int threads) { threads_ = threads < 1 ? 1 : threads; }
  int get_num_threads() const override { return threads_; }
  bool get_in_parallel() const override { return in_parallel(); }
  uint64_t get_flags() const override { return 0; }  // parallel_for returns when all is done
  void wait() override {}

  void parallel_for(int n, const std::function<void(int, int)> &fn) override {
    if (n <= 1 || threads_ == 1 || in_parallel() || !start()) {
      for (int i = 0; i < n; i++) fn(i, n);
      return;
    }
    tasks_ = n;
    work_ = &fn;
    running_.store(started_, std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(*sleep_);
      round_.fetch_add(1, std::memory_order_release);
    }
    if (sleeping_.load(std::memory_order_acquire)) wake_->notify_all();
    in_parallel() = true;
    run(0);
    in_parallel() = false;
    for (int spins = 0; running_.load(std::memory_order_acquire) != 0; spins++) {
      if (spins < kSpins) relax();
      else sched_yield();
    }
  }

  // A child has none of its parent's threads.
  void forget_threads() {
    started_ = 0;
    sleeping_ = 0;
    running_ = 0;
    sleep_ = new std::mutex;
    wake_ = new std::condition_variable;
  }

 private:
  static constexpr int kSpins = 4000;  // some 0.1 ms: as long as there is between two operators

  static bool &in_parallel() {
    static thread_local bool value = false;
    return value;
  }

  void run(int thread) {
    for (int i = thread; i < tasks_; i += started_ + 1) (*work_)(i, tasks_);
  }

  // Starts the threads; false where the system gives none.
  bool start() {
    while (started_ < threads_ - 1) {
      auto *own = new std::pair<Pool *, std::pair<int, unsigned>>(this, {started_ + 1, round_.load()});
      pthread_t thread;
      if (pthread_create(&thread, nullptr, &Pool::serve, own) != 0) {
        delete own;
        break;
      }
      pthread_detach(thread);
      started_++;
    }
    return started_ > 0;
  }

  static void *serve(void *argument) {
    auto *own = static_cast<std::pair<Pool *, std::pair<int, unsigned>> *>(argument);
    Pool &pool = *own->first;
    const int thread = own->second.first;
    unsigned seen = own->second.second;
    delete own;
    in_parallel() = true;
    for (;;) {
      for (int spins = 0; pool.round_.load(std::memory_order_acquire) == seen && spins < kSpins; spins++) relax();
      if (pool.round_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(*pool.sleep_);
        pool.sleeping_++;
        while (pool.round_.load(std::memory_order_acquire) == seen) pool.wake_->wait(lock);
        pool.sleeping_--;
      }
      seen++;
      pool.run(thread);
      pool.running_.fetch_sub(1, std::memory_order_release);
    }
    return nullptr;
  }

  int threads_ = 1;
  int started_ = 0;  // besides the calling one
  int tasks_ = 0;
  const std::function<void(int, int)> *work_ = nullptr;
  std::atomic<unsigned> round_{0};
  std::atomic<int> running_{0}, sleeping_{0};
  std::mutex *sleep_ = new std::mutex;
  std::condition_variable *wake_ = new std::condition_variable;
};

}  // namespace mindcv

#endif  // MINDCV_THREADS_H
