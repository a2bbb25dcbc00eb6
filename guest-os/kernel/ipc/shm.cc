// SPDX-License-Identifier: GPL-2.0-or-later
// System V shared memory: segments are nameless tmpfs files, attached by mapping them. [man 2 shmget], [man 2 shmop],
// [man 2 shmctl] GAP: no huge pages.
#include "abi/mman.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/ipc/ipc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/shmem.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscall/calls.h"

namespace xm::os {

extern const vm_operations& generic_file_vm_ops;

namespace {

constexpr u64 kShmMin = 1;
constinit s64 shmmax = static_cast<s64>(~0ul >> 1) & ~0xfffffl, shmall = static_cast<s64>(~0ul >> 14);
constinit ipc_ids shm_ids{.limit = 4096};
constinit u64 shm_total_pages = 0;

struct shmid_kernel : kern_ipc_perm {
  file* segment = nullptr;
  u64 size = 0, attached = 0;
  s64 atime = 0, dtime = 0, ctime = 0;
  pid_t cpid = 0, lpid = 0;
};
u64 pages_of(const shmid_kernel* s) { return page_align(s->size) >> kPageShift; }

// The lock is held.
void shm_put(shmid_kernel* s) {
  if (--s->refcount != 0) return;
  shm_total_pages -= pages_of(s);
  fput(s->segment);
  kdelete(s);
}
void shm_destroy(shmid_kernel* s) {
  ipc_remove(shm_ids, s);
  shm_put(s);
}

shmid_kernel* segment_of(const vm_area_struct* v) { return static_cast<shmid_kernel*>(v->vm_file->private_data); }

// shm_ids.lock is taken under mmap_lock, so nothing may touch user memory under it. Mappings count as attachments:
// forked and split ones, too.
struct ShmVmOps final : vm_operations {
  int fault(vm_fault& f) const override { return generic_file_vm_ops.fault(f); }
  int page_mkwrite(vm_area_struct* v, page* p) const override { return generic_file_vm_ops.page_mkwrite(v, p); }
  void open(vm_area_struct* v) const override {
    MutexGuard guard(shm_ids.lock);
    shmid_kernel* s = segment_of(v);
    ++s->attached;
    s->atime = ipc_now();
    s->lpid = current->tgid;
  }
  void close(vm_area_struct* v) const override {
    MutexGuard guard(shm_ids.lock);
    shmid_kernel* s = segment_of(v);
    s->lpid = current->tgid;
    s->dtime = ipc_now();
    if (--s->attached == 0 && (s->mode & SHM_DEST) != 0 && !s->deleted) shm_destroy(s);
  }
};
constinit const ShmVmOps shm_vm_ops{};

struct ShmFileOps final : file_operations {
  int mmap(file* f, vm_area_struct* v) const override {
    TRY_INT(generic_file_mmap(f, v));
    v->vm_ops = &shm_vm_ops;
    shm_vm_ops.open(v);
    return 0;
  }
  int fsync(file*, bool) const override { return 0; }
  void release(inode*, file* f) const override {
    MutexGuard guard(shm_ids.lock);
    shm_put(static_cast<shmid_kernel*>(f->private_data));
  }
};
constinit const ShmFileOps shm_file_ops{};

long create_segment(int key, u64 size, int flags) {
  if (size < kShmMin || size > static_cast<u64>(shmmax)) return -EINVAL;
  const u64 pages = page_align(size) >> kPageShift;
  if (pages << kPageShift < size || shm_total_pages + pages > static_cast<u64>(shmall)) return -ENOSPC;
  if ((flags & SHM_HUGETLB) != 0) return capable(CAP_IPC_LOCK) ? -ENOMEM : -EPERM;  // no huge pages are reserved
  shmid_kernel* s = knew<shmid_kernel>();
  if (s == nullptr) return -ENOMEM;
  char name[16] = "SYSV";
  for (int i = 0; i < 8; ++i) name[4 + i] = "0123456789abcdef"[(static_cast<u32>(key) >> (28 - 4 * i)) & 15];
  const auto segment = shmem_file_setup(name, size);
  if (!segment.ok()) {
    kdelete(s);
    return -segment.error();
  }
  s->segment = segment.value();
  s->size = size;
  s->cpid = current->tgid;
  s->ctime = ipc_now();
  const int id = ipc_add(shm_ids, s, key, flags);
  if (id < 0) {
    fput(s->segment);
    kdelete(s);
    return id;
  }
  s->segment->f_inode->i_ino = static_cast<ino_t>(id);  // what /proc/PID/maps shows
  s->segment->f_inode->i_uid = s->uid;
  s->segment->f_inode->i_gid = s->gid;
  s->segment->f_inode->i_mode = S_IFREG | s->mode;
  shm_total_pages += pages;
  return id;
}

void fill_stat(const shmid_kernel* s, shmid64_ds& out) {
  out = {};
  ipc_fill(*s, out.perm);
  out.segsz = s->size;
  out.atime = s->atime;
  out.dtime = s->dtime;
  out.ctime = s->ctime;
  out.cpid = s->cpid;
  out.lpid = s->lpid;
  out.nattch = s->attached;
}

// For IPC_INFO and SHM_INFO: what the caller copies out when the lock is released (a fault may want mmap_lock).
struct ShmInfo {
  shminfo64 limits{};
  shm_info usage{};
};
int gather_info(ShmInfo& out) {
  out.limits = {static_cast<u64>(shmmax), kShmMin, static_cast<u64>(shm_ids.limit), static_cast<u64>(shm_ids.limit),
                static_cast<u64>(shmall), {}};
  out.usage.used_ids = static_cast<int>(shm_ids.used);
  out.usage.shm_tot = shm_total_pages;
  for (u32 i = 0; i < shm_ids.capacity; ++i) {
    if (const auto* s = static_cast<const shmid_kernel*>(shm_ids.slots[i]); s != nullptr)
      out.usage.shm_rss += s->segment->f_mapping->nrpages;
  }
  return ipc_max_index(shm_ids);
}

void show_shm(TextBuffer& out, void*) {
  out.print(
      "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      "
      "dtime      ctime                   rss                  swap\n");
  MutexGuard guard(shm_ids.lock);
  for (u32 i = 0; i < shm_ids.capacity; ++i) {
    const auto* s = static_cast<const shmid_kernel*>(shm_ids.slots[i]);
    if (s == nullptr) continue;
    out.print("%10d %10d  %4o %21lu %5d %5d  %5lu %5u %5u %5u %5u %10ld %10ld %10ld %21lu %21lu\n", s->key, s->id,
              s->mode, s->size, s->cpid, s->lpid, s->attached, s->uid, s->gid, s->cuid, s->cgid, s->atime, s->dtime,
              s->ctime, s->segment->f_mapping->nrpages << kPageShift, 0ul);
  }
}

void shm_init() {
  static constinit proc_number next_number{&shm_ids.next_id, -1, 0x7fffffff};
  proc_create_number("sys/kernel/shm_next_id", 0644, &next_number);
  static constinit proc_number max_number{&shmmax, 0, static_cast<s64>(~0ul >> 1)};
  static constinit proc_number all_number{&shmall, 0, static_cast<s64>(~0ul >> 1)};
  static constinit proc_number mni_number{&shm_ids.limit, 0, kIpcMaxIds};
  proc_create_number("sys/kernel/shmmax", 0644, &max_number);
  proc_create_number("sys/kernel/shmall", 0644, &all_number);
  proc_create_number("sys/kernel/shmmni", 0644, &mni_number);
  proc_create(&proc_root, "sysvipc/shm", 0444, show_shm);
}
FS_INITCALL(shm_init);

}  // namespace

long sys_shmget(int key, u64 size, int flags) {
  return ipc_get(
      shm_ids, key, flags, [&] { return create_segment(key, size, flags); },
      [&](kern_ipc_perm* p) { return static_cast<shmid_kernel*>(p)->size < size ? -EINVAL : 0; });
}

long sys_shmat(int id, u64 address, int flags) {
  if (id < 0) return -EINVAL;
  if (address != 0) {
    if ((address & (kPageSize - 1)) != 0) {
      if ((flags & SHM_RND) == 0) return -EINVAL;
      address &= kPageMask;
      if (address == 0 && (flags & SHM_REMAP) != 0) return -EINVAL;
    }
  } else if ((flags & SHM_REMAP) != 0) {
    return -EINVAL;
  }
  const bool read_only = (flags & SHM_RDONLY) != 0, exec = (flags & SHM_EXEC) != 0;
  u64 prot = PROT_READ;
  u32 wanted = 0444;
  if (!read_only) prot |= PROT_WRITE, wanted |= 0222;
  if (exec) prot |= PROT_EXEC, wanted |= 0111;
  file* f;
  u64 size;
  {
    MutexGuard guard(shm_ids.lock);
    shmid_kernel* s = static_cast<shmid_kernel*>(TRY(ipc_find(shm_ids, id)));
    if (!ipc_permitted(*s, wanted)) return -EACCES;
    path_get(s->segment->f_path);
    f = alloc_file(s->segment->f_path, read_only ? O_RDONLY : O_RDWR, &shm_file_ops);
    if (f == nullptr) return -ENOMEM;
    f->private_data = s;
    ++s->refcount;
    size = s->size;
  }
  long result = 0;
  if (address != 0 && (flags & SHM_REMAP) == 0) {
    ReadGuard guard(current->mm->mmap_lock);
    if (address + size < address || find_vma_intersection(current->mm, address, address + size) != nullptr)
      result = -EINVAL;
  }
  if (result == 0) result = do_mmap(f, address, size, prot, MAP_SHARED | (address != 0 ? MAP_FIXED : 0), 0);
  fput(f);
  return result;
}

long sys_shmdt(u64 address) {
  if ((address & ~kPageMask) != 0) return -EINVAL;
  mm_struct* mm = current->mm;
  WriteGuard guard(mm->mmap_lock);
  const file* segment = nullptr;
  u64 end = 0;
  for (vm_area_struct* v = find_vma(mm, address); v != nullptr;) {
    vm_area_struct* next = v->vm_next;
    const bool ours = v->vm_ops == &shm_vm_ops && v->vm_start - address == v->vm_pgoff << kPageShift;
    if (segment == nullptr && ours) {
      segment = v->vm_file;
      end = address + page_align(segment_of(v)->size);
    } else if (segment == nullptr || v->vm_start >= end) {
      if (segment != nullptr) break;
    }
    if (ours && v->vm_file == segment) TRY_INT(do_munmap(mm, v->vm_start, v->vm_end - v->vm_start));
    if (segment == nullptr) break;
    v = next;
  }
  return segment != nullptr ? 0 : -EINVAL;
}

long sys_shmctl(int id, int command, u64 user) {
  command &= ~IPC_64;
  if (command < 0 || id < 0) return -EINVAL;
  shmid64_ds ds;
  ShmInfo info;
  if (command == IPC_SET) TRY_INT(get_user_at(ds, user));
  mutex_lock(shm_ids.lock);
  const auto run = [&]() -> long {
    if (command == IPC_INFO || command == SHM_INFO) return gather_info(info);
    const bool by_index = command == SHM_STAT || command == SHM_STAT_ANY;
    switch (command) {
      case IPC_STAT:
      case SHM_STAT:
      case SHM_STAT_ANY: {
        auto* s = static_cast<shmid_kernel*>(TRY(by_index ? ipc_find_index(shm_ids, id) : ipc_find(shm_ids, id)));
        if (command != SHM_STAT_ANY && !ipc_permitted(*s, 0444)) return -EACCES;
        fill_stat(s, ds);
        return by_index ? s->id : 0;
      }
      case IPC_SET:
      case IPC_RMID: {
        auto* s = static_cast<shmid_kernel*>(TRY(ipc_find(shm_ids, id)));
        if (!ipc_owner(*s)) return -EPERM;
        if (command == IPC_SET) {
          TRY_INT(ipc_set(*s, ds.perm));
          s->ctime = ipc_now();
        } else if (s->attached > 0) {
          s->mode |= SHM_DEST;
          s->key = IPC_PRIVATE;  // no longer found by its key
        } else {
          shm_destroy(s);
        }
        return 0;
      }
      case SHM_LOCK:
      case SHM_UNLOCK: {
        auto* s = static_cast<shmid_kernel*>(TRY(ipc_find(shm_ids, id)));
        if (!capable(CAP_IPC_LOCK)) {
          const u32 euid = current_cred()->euid;
          if (euid != s->uid && euid != s->cuid) return -EPERM;
          if (command == SHM_LOCK && current->signal->rlim[RLIMIT_MEMLOCK].cur == 0) return -EPERM;
        }
        s->mode = command == SHM_LOCK ? s->mode | SHM_LOCKED : s->mode & ~SHM_LOCKED;
        return 0;
      }
      default: return -EINVAL;
    }
  };
  const long result = run();
  mutex_unlock(shm_ids.lock);
  const bool stat = command == IPC_STAT || command == SHM_STAT || command == SHM_STAT_ANY;
  if (result >= 0 && stat) TRY_INT(put_user_at(ds, user));
  if (result >= 0 && command == IPC_INFO) TRY_INT(put_user_at(info.limits, user));
  if (result >= 0 && command == SHM_INFO) TRY_INT(put_user_at(info.usage, user));
  return result;
}

}  // namespace xm::os
