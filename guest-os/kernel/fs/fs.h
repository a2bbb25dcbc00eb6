// SPDX-License-Identifier: GPL-2.0-or-later
// The virtual file system: super_block, inode, dentry, vfsmount, file, and the operations a file system fills in.
// Operations are classes with default methods (ENOSYS-like answers); a file system derives constinit objects from them.
// How to write one: docs/guest-os.md.
#pragma once

#include "abi/fs.h"
#include "kernel/fs/iov_iter.h"
#include "kernel/lib/radix_tree.h"
#include "kernel/lib/result.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm_types.h"
#include "kernel/sched/mutex.h"
#include "kernel/task/cred.h"

namespace xm::os {

struct inode;
struct dentry;
struct super_block;
struct vfsmount;
struct file;
struct pipe_inode_info;
struct poll_table;
struct block_device;
struct file_lock;

struct timespec64 {
  s64 tv_sec = 0;
  s64 tv_nsec = 0;
};
timespec64 current_time();

struct kstat {
  u64 ino;
  dev_t dev, rdev;
  umode_t mode;
  u32 nlink;
  uid_t uid;
  gid_t gid;
  u64 size, blocks;
  u32 blksize;
  timespec64 atime, mtime, ctime, btime;
};

// --- address_space: the cached pages of a file ---
struct address_space_operations {
  virtual int read_page(file* f,
                        page* p) const;  // fills a locked page, sets PG_uptodate and unlocks it (may do so later)
  virtual int write_page(
      page* p) const;  // locked and no longer PG_dirty; sets PG_writeback, unlocks, end_page_writeback later
  // Starts write-back of dirty pages with indexes first to last, at most about `limit`. The default calls write_page
  // for each.
  virtual int write_pages(address_space* m, u64 first, u64 last, u64 limit) const;
  // Before and after `length` bytes at `offset` of a locked page are written: make it uptodate where needed, reserve
  // blocks.
  virtual int write_begin(file* f, address_space* m, page* p, u32 offset, u32 length) const;
  virtual int write_end(file* f, address_space* m, page* p, u32 offset, u32 copied) const;
  virtual void read_ahead(file*, address_space*, u64 /*first*/, u32 /*count*/) const {}
  virtual ssize_t direct_io(file*, iov_iter&, loff_t, bool /*write*/) const { return -EINVAL; }
  virtual void release_page(page*) const {}
  virtual bool writes_back() const { return true; }  // false: pages live in memory only (tmpfs)
};
struct address_space {
  inode* host = nullptr;
  const address_space_operations* a_ops = nullptr;
  spinlock_t tree_lock{LockRank::Mapping};
  radix_tree pages;
  u64 nrpages = 0;
  Atomic<u64> nr_dirty{0};
  spinlock_t i_mmap_lock{LockRank::None};
  list_head i_mmap;
  u64 writeback_index = 0;
  int wb_error = 0;
  wait_queue_head writeback_wait;
};

// --- inode ---
struct iattr {
  u32 valid = 0;  // ATTR_*
  umode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  loff_t size = 0;
  timespec64 atime, mtime, ctime;
};
constexpr u32 ATTR_MODE = 1, ATTR_UID = 2, ATTR_GID = 4, ATTR_SIZE = 8, ATTR_ATIME = 16, ATTR_MTIME = 32,
              ATTR_CTIME = 64, ATTR_ATIME_SET = 128, ATTR_MTIME_SET = 256, ATTR_FORCE = 512, ATTR_KILL_SUID = 1024,
              ATTR_KILL_SGID = 2048, ATTR_OPEN = 4096;

struct link_body {  // where a symlink points: text that stays valid until release() is called
  const char* text = nullptr;
  void* to_free = nullptr;
  bool is_jump = false;  // /proc/PID/fd: jump_mnt and jump_dentry (referenced) instead of text
  vfsmount* jump_mnt = nullptr;
  dentry* jump_dentry = nullptr;
};
struct inode_operations {
  virtual int lookup(inode* dir, dentry* d) const;  // d_add(d, inode or null); 0 or error
  virtual int create(inode* dir, dentry* d, umode_t mode, bool excl) const;
  virtual int link(dentry* old, inode* dir, dentry* d) const;
  virtual int unlink(inode* dir, dentry* d) const;
  virtual int symlink(inode* dir, dentry* d, const char* target) const;
  virtual int mkdir(inode* dir, dentry* d, umode_t mode) const;
  virtual int rmdir(inode* dir, dentry* d) const;
  virtual int mknod(inode* dir, dentry* d, umode_t mode, dev_t dev) const;
  virtual int rename(inode* old_dir, dentry* old, inode* new_dir, dentry* target, u32 flags) const;
  virtual int tmpfile(inode* dir, dentry* d, umode_t mode) const;
  virtual int get_link(dentry* d, inode* i, link_body& link) const;
  virtual int permission(inode* i, int mask) const;
  virtual int setattr(dentry* d, iattr& attr) const;
  virtual int getattr(const dentry* d, kstat& stat) const;
  virtual ssize_t getxattr(inode* i, const char* name, void* value, size_t size) const;
  virtual int setxattr(inode* i, const char* name, const void* value, size_t size, int flags) const;
  virtual ssize_t listxattr(inode* i, char* list, size_t size) const;
  virtual int removexattr(inode* i, const char* name) const;
};

constexpr u32 I_DIRTY = 1, I_NEW = 2, I_FREEING = 4, I_DIRTY_PAGES = 8, I_LINKABLE = 16;
struct inode {
  umode_t i_mode = 0;
  uid_t i_uid = 0;
  gid_t i_gid = 0;
  u32 i_nlink = 1;
  u32 i_flags = 0;  // S_*
  u32 i_seals = 0;  // F_SEAL_*: of files in memory
  ino_t i_ino = 0;
  dev_t i_rdev = 0;
  loff_t i_size = 0;
  u64 i_blocks = 0;  // of 512 bytes
  u32 i_blkbits = 12;
  u32 i_generation = 0;
  timespec64 i_atime, i_mtime, i_ctime, i_btime;
  const inode_operations* i_op;
  const struct file_operations* i_fop;
  super_block* i_sb = nullptr;
  address_space* i_mapping;
  address_space i_data;
  rw_semaphore i_rwsem;  // directory changes, writes, truncate
  spinlock_t i_lock{LockRank::None};
  Atomic<s32> i_count{1};
  Atomic<u32> i_state{0};
  Atomic<s32> i_writecount{0};  // >0 open for writing, <0 being executed
  u64 i_version = 0;
  list_head i_sb_list;  // super_block::s_inodes
  list_head i_hash;     // inode cache (iget)
  list_head i_lru;
  list_head i_dirty;     // super_block::s_dirty, oldest first
  u64 i_dirtied_ns = 0;  // when it joined that list (CLOCK_MONOTONIC)
  pipe_inode_info* i_pipe = nullptr;
  block_device* i_bdev = nullptr;
  file_lock* i_flock = nullptr;
  struct file_lease* i_lease = nullptr;
  Atomic<s32> i_readcount{0};  // regular files: open for reading only
  list_head i_watches;         // inotify
  void* i_private = nullptr;   // the file system's
  inode();
};
constexpr u32 S_IMMUTABLE = 8, S_APPEND = 4, S_NOATIME = 2;

// --- dentry ---
struct dentry_operations {
  virtual bool revalidate(dentry*) const { return true; }  // false: drop it and look up again
  virtual bool keep(const dentry*) const { return true; }  // false: forget it when the last user goes
  virtual void dname(const dentry*, char* text, size_t size) const;
};
constexpr u32 DCACHE_MOUNTED = 1, DCACHE_HASHED = 2, DCACHE_LRU = 4;
constexpr u32 kInlineName = 32;
struct dentry {
  Atomic<s32> d_count{1};
  Atomic<u32> d_flags{0};
  dentry* d_parent = nullptr;
  inode* d_inode = nullptr;  // null: known not to exist
  qstr d_name;
  u32 d_hash = 0;
  dentry* d_hash_next = nullptr;
  list_head d_child, d_subdirs;  // among siblings; children
  list_head d_lru;
  const dentry_operations* d_op;
  super_block* d_sb = nullptr;
  void* d_fsdata = nullptr;
  char d_iname[kInlineName];
};
inline bool d_unhashed(const dentry* d) { return (d->d_flags.load() & DCACHE_HASHED) == 0; }

dentry* d_alloc(dentry* parent, const qstr& name);  // unhashed, holds the parent
dentry* d_make_root(inode* i);                      // consumes the inode; null: no memory
dentry* d_alloc_pseudo(super_block* sb, const char* name);
void d_instantiate(dentry* d, inode* i);  // consumes the inode reference
void d_add(dentry* d, inode* i);          // instantiate (null: negative) and hash
void d_drop(dentry* d);                   // unhash: no longer found
void d_delete(dentry* d);                 // after unlink: negative, or unhashed while still used
void d_move(dentry* d, dentry* target);   // after rename: d takes target's place
void d_exchange(dentry* a, dentry* b);
dentry* d_lookup(dentry* parent, const qstr& name);  // referenced, or null
inline dentry* dget(dentry* d) {
  d->d_count.inc();
  return d;
}
void dput(dentry* d);
u64 shrink_dcache(u64 count);
void shrink_dcache_sb(super_block* sb);
bool is_subdir(const dentry* d, const dentry* ancestor);

// --- super_block and file system types ---
struct super_operations {
  virtual inode* alloc_inode(super_block* sb) const;  // new (zeroed) inode object of the file system's own type
  virtual void free_inode(inode* i) const;
  virtual int write_inode(inode*, bool /*wait*/) const { return 0; }
  virtual void evict_inode(inode* i) const;  // last reference gone: truncate_inode_pages, free on disk if i_nlink == 0
  virtual bool drop_inode(const inode* i) const { return i->i_nlink == 0; }  // true: evict at once when unused
  virtual void put_super(super_block*) const {}
  virtual int sync_fs(super_block*, bool /*wait*/) const { return 0; }
  virtual int statfs(super_block* sb, struct statfs* out) const;
  virtual int remount(super_block*, u64* /*flags*/, const char* /*data*/) const { return 0; }
  virtual void show_options(const super_block*, char* text, size_t size) const {
    if (size > 0) text[0] = 0;
  }
};
struct file_system_type {
  const char* name;
  u32 flags;  // FS_*
  // Fills sb: s_op, s_root, s_magic, block size. `source` is what mount(2) named; data the options.
  int (*fill_super)(super_block* sb, const char* source, const char* data, u64 flags);
  file_system_type* next = nullptr;
};
constexpr u32 FS_REQUIRES_DEV = 1,
              FS_SINGLE = 2;  // SINGLE: every mount shows the same super_block (proc, sysfs, devtmpfs)
struct super_block {
  dev_t s_dev = 0;
  u32 s_blocksize = 4096;
  u32 s_blocksize_bits = 12;
  u64 s_flags = 0;  // MS_RDONLY, MS_SYNCHRONOUS ...
  u64 s_magic = 0;
  u64 s_maxbytes = (1ul << 63) - 1;
  u32 s_time_gran = 1;
  const super_operations* s_op;
  dentry* s_root = nullptr;
  file_system_type* s_type = nullptr;
  block_device* s_bdev = nullptr;
  void* s_fs_info = nullptr;
  Atomic<s32> s_active{1};
  rw_semaphore s_umount;
  spinlock_t s_inode_lock{LockRank::Inode};
  list_head s_inodes, s_dirty;
  list_head s_list;
  mutex s_rename_mutex;
  super_block();
};
int register_filesystem(file_system_type* type);
file_system_type* find_filesystem(const char* name);
extern file_system_type* file_systems;
extern list_head super_blocks;
void deactivate_super(super_block* sb);
Result<super_block*> get_super(file_system_type* type, const char* source, const char* data, u64 flags);
super_block* kern_super(file_system_type* type);  // for pseudo file systems that nobody mounts
void sync_filesystem(super_block* sb, bool wait);
void sync_all(bool wait);
// Writes dirty inodes back, those that became dirty before `older_than` (CLOCK_MONOTONIC), at most `limit` of them;
// how many it wrote.
u64 write_old_inodes(super_block* sb, u64 older_than, u64 limit);

inode* new_inode(super_block* sb);  // fresh, i_ino set by the caller or get_next_ino
ino_t get_next_ino();
Result<inode*> iget_locked(super_block* sb, ino_t ino);  // cached, or new with I_NEW set: fill it and unlock_new_inode
void unlock_new_inode(inode* i);
void iget_failed(inode* i);
void insert_inode_hash(inode* i);
inline inode* igrab(inode* i) {
  i->i_count.inc();
  return i;
}
void iput(inode* i);
void mark_inode_dirty(inode* i);
void clear_inode(inode* i);
void touch_atime(file* f);
umode_t mode_strip_sgid(const inode* dir, umode_t mode);
void inode_init_owner(inode* i, const inode* dir, umode_t mode);
void init_special_inode(inode* i, umode_t mode, dev_t dev);
int write_inode_now(inode* i, bool wait);
u64 shrink_icache(u64 count);
void shrink_icache_sb(super_block* sb);  // every unused inode of it, all clean by now

// --- mounts ---
constexpr u32 MNT_NOSUID = 1, MNT_NODEV = 2, MNT_NOEXEC = 4, MNT_NOATIME = 8, MNT_NODIRATIME = 16, MNT_RELATIME = 32,
              MNT_READONLY = 64, MNT_NOSYMFOLLOW = 128;
struct vfsmount {
  vfsmount* mnt_parent = nullptr;
  dentry* mnt_mountpoint = nullptr;
  dentry* mnt_root = nullptr;
  super_block* mnt_sb = nullptr;
  u32 mnt_flags = 0;
  u32 mnt_id = 0;
  char* mnt_devname = nullptr;
  Atomic<s32> mnt_count{1};
  list_head mnt_list;                      // all mounts, in order
  struct mnt_namespace* mnt_ns = nullptr;  // null: in no tree
  bool attached = false;
};
struct path {
  vfsmount* mnt = nullptr;
  dentry* dentry_ = nullptr;
};
inline void path_get(const path& p) {
  p.mnt->mnt_count.inc();
  dget(p.dentry_);
}
void path_put(path& p);
vfsmount* mntget(vfsmount* m);
void mntput(vfsmount* m);
vfsmount* kern_mount(file_system_type* type);
long do_mount(const char* source, const char* target, const char* type, u64 flags, const char* data);
long do_umount(const path& p, u32 flags);
int change_root(super_block* sb, const char* source, u64 flags);  // root= is mounted; for task 1
long do_pivot_root(const char* new_root, const char* put_old);
bool follow_mount(path& p);  // to the root of what is mounted on it
bool follow_up(path& p);     // from a mount's root to its mount point
extern list_head mount_list;
extern vfsmount* root_mount;
bool mnt_read_only(const vfsmount* m);

// --- file ---
constexpr u32 FMODE_READ = 1, FMODE_WRITE = 2, FMODE_LSEEK = 4, FMODE_PATH = 0x4000, FMODE_WRITER = 0x10000,
              FMODE_DENY_WRITE = 0x20000, FMODE_STREAM = 0x200000, FMODE_READER = 0x400000;
struct dir_context {
  loff_t pos;
  // Called for each entry; false: the buffer is full, stop before it.
  bool (*actor)(dir_context*, const char* name, size_t length, loff_t next_pos, ino_t ino, u8 type);
};
inline bool dir_emit(dir_context& c, const char* name, size_t n, ino_t ino, u8 type) {
  return c.actor(&c, name, n, c.pos + 1, ino, type);
}

struct file_operations {
  virtual ssize_t read_iter(file*, iov_iter&, loff_t&) const { return -EINVAL; }
  virtual ssize_t write_iter(file*, iov_iter&, loff_t&) const { return -EINVAL; }
  virtual loff_t llseek(file* f, loff_t offset, int whence) const;
  virtual int iterate(file*, dir_context&) const { return -ENOTDIR; }
  virtual u32 poll(file*, poll_table*) const { return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM; }
  virtual long ioctl(file*, u32 /*command*/, u64 /*argument*/) const { return -ENOIOCTLCMD; }
  virtual int mmap(file*, vm_area_struct*) const { return -ENODEV; }
  virtual int open(inode*, file*) const { return 0; }
  virtual int flush(file*) const { return 0; }
  virtual void release(inode*, file*) const {}
  virtual int fsync(file*, bool /*data_only*/) const { return -EINVAL; }
  virtual int fallocate(file*, int, loff_t, loff_t) const { return -EOPNOTSUPP; }
  virtual bool has_poll() const { return false; }  // epoll refuses files without
  virtual void show_fdinfo(file*, char* text, size_t size) const {
    if (size > 0) text[0] = 0;
  }
};
struct file {
  path f_path;
  inode* f_inode = nullptr;
  const file_operations* f_op = nullptr;
  address_space* f_mapping = nullptr;
  u32 f_mode = 0;
  u32 f_flags = 0;
  Atomic<s64> f_count{1};
  loff_t f_pos = 0;
  mutex f_pos_lock;
  cred* f_cred = nullptr;
  void* private_data = nullptr;
  pid_t f_owner = 0;       // F_SETOWN: who gets signals
  bool f_dnotify = false;  // has asked for F_NOTIFY
  int f_owner_type = 1;    // F_OWNER_*
  struct fasync_struct* f_fasync = nullptr;
  int f_owner_signal = 0;
  uid_t f_owner_uid = 0, f_owner_euid = 0;
  u64 ra_next = 0;  // read-ahead: the page a sequential reader comes to next, and the window
  u32 ra_window = 0;
  list_head f_epoll_links;  // epoll items watching this file
  spinlock_t f_lock{LockRank::Files};
};
file* alloc_file(const path& p, u32 flags, const file_operations* op);  // consumes the path references; null: no memory
Result<file*> anon_inode_file(const char* name, const file_operations* op, void* private_data, u32 flags);
inline file* get_file(file* f) {
  f->f_count.inc();
  return f;
}
void fput(file* f);
Result<file*> filp_open(const char* name, u32 flags, umode_t mode);  // kernel path, kernel name
Result<file*> dentry_open(const path& p, u32 flags);
ssize_t kernel_read(file* f, void* to, size_t n, loff_t& pos);
ssize_t kernel_write(file* f, const void* from, size_t n, loff_t& pos);
ssize_t vfs_read(file* f, iov_iter& to, loff_t& pos);
ssize_t vfs_write(file* f, iov_iter& from, loff_t& pos);
int vfs_fsync(file* f, bool data_only);
int vfs_getattr(const path& p, kstat& stat);

// --- character and block devices by number ---
int register_chrdev(u32 major, u32 first_minor, u32 count, const char* name, const file_operations* op);
const file_operations* find_chrdev(dev_t dev);
struct chrdev_range {
  u32 major, first, count;
  const char* name;
  const file_operations* op;
  chrdev_range* next;
};
extern chrdev_range* chrdevs;

// --- generic implementations ---
ssize_t generic_file_read_iter(file* f, iov_iter& to, loff_t& pos);
ssize_t generic_file_write_iter(file* f, iov_iter& from, loff_t& pos);
int generic_file_mmap(file* f, vm_area_struct* vma);
int generic_file_fsync(file* f, bool data_only);
int generic_permission(inode* i, int mask);
void generic_fillattr(const inode* i, kstat& stat);
int inode_change_ok(inode* i, iattr& attr);
void setattr_copy(inode* i, const iattr& attr);
loff_t generic_llseek(file* f, loff_t offset, int whence, loff_t end);
int dcache_readdir(file* f, dir_context& context);  // directories whose dentries are all cached
int simple_getattr(const dentry* d, kstat& stat);
bool file_needs_remove_privs(const file* f);
extern const file_operations& bad_file_ops;
extern const inode_operations& default_inode_ops;
extern const dentry_operations& default_dentry_ops;
extern const inode_operations& page_symlink_ops;
void fs_init();

// --- page cache (mm/filemap.cc) ---
page* find_get_page(address_space* m, u64 index);                       // referenced, maybe not uptodate
Result<page*> find_or_create_page(address_space* m, u64 index);         // referenced and locked
Result<page*> read_mapping_page(address_space* m, u64 index, file* f);  // referenced and uptodate
int add_to_page_cache(page* p, address_space* m, u64 index);
void lock_page(page* p);
bool trylock_page(page* p);
void unlock_page(page* p);
void wait_on_page_writeback(page* p);
void end_page_writeback(page* p, int error);
void set_page_dirty(page* p);
void truncate_inode_pages(address_space* m, loff_t from);
void truncate_setsize(inode* i, loff_t size);
int filemap_write_and_wait(address_space* m, loff_t first, loff_t last, bool wait);
int write_dirty_pages(address_space* m, u64 limit);
// The next dirty page at or after *index, no later than `last`: locked, referenced, not dirty any more, its write-back
// of before over. *index becomes its index. Null: none.
page* take_dirty_page(address_space* m, u64* index, u64 last);
void truncate_inode_pages_range(address_space* m, u64 first, u64 last);  // whole pages, both included
u64 shrink_page_cache(u64 count);
// --- mm/writeback.cc ---
void balance_dirty_pages(address_space* m);  // after a write: too many dirty pages hold the writer back
void wake_flusher();                         // the write-back thread looks for work now
extern const vm_operations& generic_file_vm_ops;

}  // namespace xm::os
