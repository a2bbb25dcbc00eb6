// SPDX-License-Identifier: GPL-2.0-or-later
// Threads, mutex, condition variable, thread-local storage: counts to 4 * 20000 under a lock, then passes a token round a ring.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { kThreads = 4, kRounds = 20000, kTokens = 200 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static long counter, turn;
static __thread long mine;

static void *work(void *arg) {
  const long id = (long)arg;
  for (int i = 0; i < kRounds; ++i) {
    pthread_mutex_lock(&lock);
    ++counter;
    pthread_mutex_unlock(&lock);
    ++mine;
  }
  for (int i = 0; i < kTokens; ++i) {
    pthread_mutex_lock(&lock);
    while (turn % kThreads != id) pthread_cond_wait(&turn_changed, &lock);
    ++turn;
    pthread_cond_broadcast(&turn_changed);
    pthread_mutex_unlock(&lock);
  }
  return (void *)mine;
}

int main(void) {
  pthread_t t[kThreads];
  long sum = 0;
  for (long i = 0; i < kThreads; ++i) {
    if (pthread_create(&t[i], NULL, work, (void *)i) != 0) return 2;
  }
  for (int i = 0; i < kThreads; ++i) {
    void *r;
    pthread_join(t[i], &r);
    sum += (long)r;
  }
  printf("threads counter=%ld sum=%ld turn=%ld\n", counter, sum, turn);
  return counter == kThreads * kRounds && sum == counter && turn == kThreads * kTokens ? 0 : 1;
}
