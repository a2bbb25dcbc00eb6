// SPDX-License-Identifier: GPL-2.0-or-later
// The static tree behind /proc and /sys, and its inodes, directories and files.
#include "kernel/fs/proc/proc.h"

#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

constinit proc_dir_entry proc_root{"", S_IFDIR | 0555};
constinit proc_dir_entry sysfs_root{"", S_IFDIR | 0755};

namespace {

constinit spinlock_t tree_lock{};

proc_info* info_of(const inode* i) { return static_cast<proc_info*>(i->i_private); }

proc_dir_entry* add_child(proc_dir_entry* parent, const char* name, size_t n, umode_t mode) {
  proc_dir_entry* e = knew<proc_dir_entry>();
  if (e == nullptr) return nullptr;
  e->name = kstrndup(name, n);
  e->mode = mode;
  e->parent = parent;
  e->ino = get_next_ino() + 0x10000;
  SpinGuard guard(tree_lock);
  proc_dir_entry** at = &parent->children;
  while (*at != nullptr) at = &(*at)->next;
  *at = e;
  return e;
}

proc_dir_entry* find_any(const proc_dir_entry* dir, const qstr& name) {
  for (proc_dir_entry* e = dir->children; e != nullptr; e = e->next) {
    if (name.equals(e->name)) return e;
  }
  return nullptr;
}

proc_dir_entry* make_path(proc_dir_entry* root, const char* name, umode_t mode) {
  for (;;) {
    const char* slash = strchr(name, '/');
    const qstr part{name, static_cast<u32>(slash != nullptr ? static_cast<size_t>(slash - name) : strlen(name))};
    proc_dir_entry* e = find_any(root, part);
    if (e != nullptr) e->hidden = false;
    if (e == nullptr) e = add_child(root, part.name, part.len, slash != nullptr ? S_IFDIR | 0555 : mode);
    if (e == nullptr || slash == nullptr) return e;
    root = e;
    name = slash + 1;
  }
}

void fill_entry(file* f, TextBuffer& out) {
  const proc_dir_entry* e = info_of(f->f_inode)->entry;
  if (e->show != nullptr) e->show(out, e->data);
}

struct EntryFileOps final : file_operations {
  ssize_t read_iter(file* f, iov_iter& to, loff_t& pos) const override {
    return proc_read_text(f, to, pos, fill_entry);
  }
  ssize_t write_iter(file* f, iov_iter& from, loff_t& pos) const override {
    const proc_dir_entry* e = info_of(f->f_inode)->entry;
    if (e->store == nullptr) return -EIO;
    const u64 n = min<u64>(from.count(), kPageSize - 1);
    char* text = static_cast<char*>(kzalloc(n + 1));
    if (text == nullptr) return -ENOMEM;
    ssize_t result = static_cast<ssize_t>(n);
    if (from.copy_from(text, n) != n) result = -EFAULT;
    if (result >= 0) {
      if (const int error = e->store(text, n, e->data); error != 0) result = error;
    }
    kfree(text);
    if (result > 0) pos += result;
    return result;
  }
  void release(inode*, file* f) const override { kdelete(static_cast<TextBuffer*>(f->private_data)); }
  loff_t llseek(file* f, loff_t offset, int whence) const override {
    return whence == SEEK_END ? -EINVAL : generic_llseek(f, offset, whence, 0);
  }
};
constinit const EntryFileOps entry_file_ops{};

struct TreeDirOps final : file_operations {
  ssize_t read_iter(file*, iov_iter&, loff_t&) const override { return -EISDIR; }
  loff_t llseek(file* f, loff_t offset, int whence) const override {
    return generic_llseek(f, offset, whence, 1l << 40);
  }
  int iterate(file* f, dir_context& c) const override {
    const proc_dir_entry* dir = info_of(f->f_inode)->entry;
    const ino_t up = f->f_path.dentry_->d_parent->d_inode->i_ino;
    if (c.pos == 0 && dir_emit(c, ".", 1, f->f_inode->i_ino, DT_DIR)) ++c.pos;
    if (c.pos == 1 && dir_emit(c, "..", 2, up, DT_DIR)) ++c.pos;
    if (c.pos < 2) return 0;
    loff_t index = 2;
    for (const proc_dir_entry* e = dir->children; e != nullptr; e = e->next, ++index) {
      if (index < c.pos || e->hidden) continue;
      if (!dir_emit(c, e->name, strlen(e->name), e->ino, mode_to_dt(e->mode))) return 0;
      c.pos = index + 1;
    }
    if (dir == &proc_root) proc_pid_readdir(f, c);
    return 0;
  }
};
constinit const TreeDirOps tree_dir_ops{};

struct TreeDentryOps final : dentry_operations {
  bool revalidate(dentry* d) const override { return d->d_inode == nullptr || !info_of(d->d_inode)->entry->hidden; }
};
constinit const TreeDentryOps tree_dentry_ops{};

struct TreeDirInodeOps final : inode_operations {
  int lookup(inode* dir, dentry* d) const override {
    const proc_dir_entry* parent = info_of(dir)->entry;
    const proc_dir_entry* e = proc_find(parent, d->d_name);
    if (e == nullptr) {
      if (parent == &proc_root) return proc_pid_lookup(dir, d);
      d_add(d, nullptr);
      d_drop(d);  // it may come later
      return 0;
    }
    inode* i = proc_make_inode(dir->i_sb, e->mode, {e, nullptr, nullptr, 0});
    if (i == nullptr) return -ENOMEM;
    d->d_op = &tree_dentry_ops;
    d_add(d, i);
    return 0;
  }
};
constinit const TreeDirInodeOps tree_dir_inode_ops{};

struct TreeLinkOps final : inode_operations {
  int get_link(dentry*, inode* i, link_body& body) const override {
    const char* target = info_of(i)->entry->link_target;
    char* text = static_cast<char*>(kmalloc(64));
    if (text == nullptr) return -ENOMEM;
    if (strcmp(target, "self") == 0) {
      format(text, 64, "%d", current->tgid);
    } else if (strcmp(target, "thread-self") == 0) {
      format(text, 64, "%d/task/%d", current->tgid, current->pid);
    } else {
      kfree(text);
      body.text = target;
      return 0;
    }
    body.text = text;
    body.to_free = text;
    return 0;
  }
};
constinit const TreeLinkOps tree_link_ops{};

struct ProcSuperOps final : super_operations {
  bool drop_inode(const inode*) const override { return true; }
  void evict_inode(inode* i) const override {
    proc_info* info = info_of(i);
    if (info == nullptr) return;
    if (info->task != nullptr) put_task(info->task);
    kfree(info);
  }
};
constinit const ProcSuperOps proc_super_ops{};

int fill_tree(super_block* sb, proc_dir_entry* root, u64 magic) {
  sb->s_magic = magic;
  sb->s_op = &proc_super_ops;
  inode* i = proc_make_inode(sb, root->mode, {root, nullptr, nullptr, 0});
  if (i == nullptr) return -ENOMEM;
  i->i_ino = 1;
  sb->s_root = d_make_root(i);
  return sb->s_root == nullptr ? -ENOMEM : 0;
}
int fill_proc(super_block* sb, const char*, const char*, u64) { return fill_tree(sb, &proc_root, 0x9fa0); }
int fill_sysfs(super_block* sb, const char*, const char*, u64) { return fill_tree(sb, &sysfs_root, 0x62656572); }
constinit file_system_type proc_type{"proc", FS_SINGLE, fill_proc};
constinit file_system_type sysfs_type{"sysfs", FS_SINGLE, fill_sysfs};

void register_trees() {
  register_filesystem(&proc_type);
  register_filesystem(&sysfs_type);
}
FS_INITCALL(register_trees);

void show_number(TextBuffer& out, void* data) { out.print("%ld\n", *static_cast<proc_number*>(data)->value); }
int store_number(const char* text, size_t, void* data) {
  const proc_number* n = static_cast<proc_number*>(data);
  const bool negative = text[0] == '-';
  const char* end;
  s64 v = static_cast<s64>(parse_number(text + (negative ? 1 : 0), &end, 10));
  if (negative) v = -v;
  if (*end != 0 && *end != '\n' && *end != ' ') return -EINVAL;
  if (v < n->low || v > n->high) return -EINVAL;
  *n->value = v;
  return 0;
}

}  // namespace

proc_dir_entry* proc_find(const proc_dir_entry* dir, const qstr& name) {
  proc_dir_entry* e = find_any(dir, name);
  return e != nullptr && !e->hidden ? e : nullptr;
}

void proc_remove(proc_dir_entry* root, const char* name) {
  for (const char* slash = strchr(name, '/'); slash != nullptr && root != nullptr; slash = strchr(name, '/')) {
    root = proc_find(root, {name, static_cast<u32>(slash - name)});
    name = slash + 1;
  }
  proc_dir_entry* e = root == nullptr ? nullptr : proc_find(root, {name, static_cast<u32>(strlen(name))});
  if (e == nullptr) return;
  e->hidden = true;
  for (proc_dir_entry* child = e->children; child != nullptr; child = child->next) {
    child->hidden = true;
    for (proc_dir_entry* leaf = child->children; leaf != nullptr; leaf = leaf->next) leaf->hidden = true;
  }
}

proc_dir_entry* proc_create(proc_dir_entry* root, const char* name, umode_t mode, proc_show_t show, proc_store_t store,
                            void* data) {
  proc_dir_entry* e = make_path(root, name, S_IFREG | mode);
  if (e == nullptr) return nullptr;
  e->show = show;
  e->store = store;
  e->data = data;
  return e;
}
proc_dir_entry* proc_mkdir(proc_dir_entry* root, const char* name) { return make_path(root, name, S_IFDIR | 0555); }
proc_dir_entry* proc_symlink(proc_dir_entry* root, const char* name, const char* target) {
  proc_dir_entry* e = make_path(root, name, S_IFLNK | 0777);
  if (e != nullptr) e->link_target = target;
  return e;
}
void proc_create_number(const char* name, umode_t mode, proc_number* number) {
  proc_create(&proc_root, name, mode, show_number, (mode & 0222) != 0 ? store_number : nullptr, number);
}

inode* proc_make_inode(super_block* sb, umode_t mode, const proc_info& info) {
  proc_info* copy = static_cast<proc_info*>(kmalloc(sizeof(proc_info)));
  inode* i = copy == nullptr ? nullptr : new_inode(sb);
  if (i == nullptr) {
    kfree(copy);
    return nullptr;
  }
  *copy = info;
  if (info.task != nullptr) get_task(info.task);
  i->i_private = copy;
  i->i_mode = mode;
  i->i_ino = info.entry != nullptr && info.entry->ino != 0 ? info.entry->ino : get_next_ino();
  i->i_atime = i->i_mtime = i->i_ctime = current_time();
  if (info.entry == nullptr) return i;
  if (S_ISDIR(mode)) {
    i->i_op = &tree_dir_inode_ops;
    i->i_fop = &tree_dir_ops;
    i->i_nlink = 2;
  } else if (S_ISLNK(mode)) {
    i->i_op = &tree_link_ops;
  } else {
    i->i_fop = &entry_file_ops;
  }
  return i;
}

// The text is made when a reader is at the start, and kept for the rest.
ssize_t proc_read_text(file* f, iov_iter& to, loff_t& pos, void (*fill)(file*, TextBuffer&)) {
  TextBuffer* text = static_cast<TextBuffer*>(f->private_data);
  if (text == nullptr) {
    text = knew<TextBuffer>();
    if (text == nullptr) return -ENOMEM;
    f->private_data = text;
    fill(f, *text);
  } else if (pos == 0) {
    text->clear();
    fill(f, *text);
  }
  if (text->failed()) return -ENOMEM;
  if (pos < 0 || static_cast<size_t>(pos) >= text->length()) return 0;
  const u64 n = min<u64>(to.count(), text->length() - static_cast<size_t>(pos));
  const u64 moved = to.copy_to(text->data() + pos, n);
  pos += static_cast<loff_t>(moved);
  return moved == 0 && n != 0 ? -EFAULT : static_cast<ssize_t>(moved);
}

}  // namespace xm::os
