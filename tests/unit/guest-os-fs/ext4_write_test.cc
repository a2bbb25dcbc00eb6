// SPDX-License-Identifier: GPL-2.0-or-later
// ext4 written by the guest kernel's code: random work on images of mke2fs, judged by e2fsck and by reading back what
// should be there; power cuts at random moments with a disk that loses and reorders what was not flushed.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>

#include "tests/unit/guest-os-fs/ext4_image.h"

namespace xm::os {
namespace {

constexpr u32 kNow = 1700000000;

// A small user of the layer: what the kernel's VFS part does, without pages.
class Tree {
 public:
  struct Node {
    u32 ino = 0;
    bool directory = false;
    u32 links = 0;
    std::map<std::string, Node*> names;  // of a directory
    Node* parent = nullptr;
    std::map<u32, u32> blocks;  // logical -> stamp, 0: unwritten
    std::unique_ptr<ext4_body> body;
  };

  Tree(ext4_fs& f, u32 seed) : fs(f), random(seed) {
    root = std::make_unique<Node>();
    root->ino = EXT4_ROOT_INO;
    root->directory = true;
    root->links = 3;
    load(*root);
    directories.push_back(root.get());
  }

  void load(Node& n) {
    ext4_inode raw;
    ASSERT_EQ(ext4_read_inode(fs, n.ino, raw), 0);
    n.body = std::make_unique<ext4_body>();
    ext4_fill_body(fs, n.ino, raw, *n.body);
    n.links = raw.i_links_count;
  }
  ext4_attributes attributes(const Node& n) const {
    ext4_attributes a;
    a.mode = n.directory ? 0040755 : 0100644;
    a.links = n.links;
    a.atime = a.mtime = a.ctime = a.crtime = kNow;
    return a;
  }
  void save(Node& n) { ASSERT_EQ(ext4_write_inode(fs, *n.body, attributes(n)), 0); }

  std::string fresh_name() {
    return "n" + std::to_string(serial++) + std::string(random() % (random() % 8 == 0 ? 200 : 20), 'x');
  }

  void make(bool directory) {
    if (!has_room(0)) return;
    Node* dir = directories[random() % directories.size()];
    auto n = std::make_unique<Node>();
    n->directory = directory;
    const int error = ext4_alloc_inode(fs, dir->ino, directory, &n->ino);
    if (error == -ENOSPC) return;
    ASSERT_EQ(error, 0);
    n->body = std::make_unique<ext4_body>();
    n->body->ino = n->ino;
    n->body->generation = random();
    n->body->journaled = directory;
    ext4_init_map(*n->body);
    n->links = directory ? 2 : 1;
    n->parent = dir;
    if (directory) {
      ASSERT_EQ(ext4_make_empty_dir(fs, *n->body, dir->ino), 0);
    }
    ASSERT_EQ(ext4_init_inode(fs, *n->body, attributes(*n)), 0);
    const std::string name = fresh_name();
    ASSERT_EQ(ext4_add_entry(fs, *dir->body, name.data(), static_cast<u32>(name.size()), n->ino, directory ? 2 : 1), 0);
    if (directory) ++dir->links;
    save(*dir);
    dir->names[name] = n.get();
    (directory ? directories : files).push_back(n.get());
    nodes.push_back(std::move(n));
  }

  // What is free counts only when no transaction holds it.
  bool has_room(u32 blocks) const { return ext4_available_blocks(fs, true) >= fs.held_blocks + blocks + 64; }

  void stamp(u64 physical, u32 value) {
    auto& bytes = static_cast<MemoryDevice*>(fs.device)->bytes;
    memcpy(bytes.data() + (physical << fs.block_bits), &value, 4);
  }

  void write(Node& n) {
    const u32 spread = random() % 4 == 0 ? 3000 : 60;
    u32 at = random() % spread, count = 1 + random() % 40;
    const bool unwritten = random() % 4 == 0;
    while (count > 0) {
      ext4_run run{};
      ASSERT_EQ(ext4_map(fs, *n.body, at, run), 0);
      if (run.physical == 0) {
        if (!has_room(count)) break;  // what was given so far is still to be saved
        const u32 want = std::min(count, run.count);
        ASSERT_EQ(ext4_map_new(fs, *n.body, at, want, unwritten, run), 0);
        for (u32 i = 0; i < run.count; ++i) n.blocks[at + i] = 0;
      } else if (run.unwritten && random() % 2 == 0) {
        run.count = std::min(run.count, count);
        ASSERT_EQ(ext4_mark_written(fs, *n.body, at, run.count), 0);
        run.unwritten = false;
      }
      const u32 step = std::min(count, run.count);
      if (!run.unwritten) {
        for (u32 i = 0; i < step; ++i) stamp(run.physical + i, n.blocks[at + i] = ++stamps);
      }
      at += step;
      count -= step;
    }
    n.body->size = std::max<u64>(n.body->size, static_cast<u64>(at) << fs.block_bits);
    save(n);
  }

  void cut(Node& n, u32 from, u32 to) {
    while (to > from) {
      u32 left = 0;
      ASSERT_EQ(ext4_unmap(fs, *n.body, from, to, &left), 0);
      n.blocks.erase(n.blocks.lower_bound(left), n.blocks.lower_bound(to));
      save(n);
      to = left;
    }
  }

  void remove(Node* dir, const std::string& name) {
    Node* n = dir->names[name];
    if (n->directory) {
      const int empty = ext4_dir_is_empty(fs, *n->body);
      ASSERT_GE(empty, 0);
      ASSERT_EQ(empty == 1, n->names.empty());
      if (empty == 0) return;
    }
    ASSERT_EQ(ext4_remove_entry(fs, *dir->body, name.data(), static_cast<u32>(name.size())), 0);
    dir->names.erase(name);
    if (n->directory) {
      --dir->links;
      n->links = 0;
    } else {
      --n->links;
    }
    save(*dir);
    if (n->links != 0) return save(*n);
    ASSERT_EQ(ext4_orphan_add(fs, *n->body), 0);
    save_links_only(*n);
    auto& list = n->directory ? directories : files;
    list.erase(std::find(list.begin(), list.end(), n));
    orphans.push_back(n);
    if (random() % 2 == 0) bury();
  }
  void save_links_only(Node& n) { ASSERT_EQ(ext4_write_inode(fs, *n.body, attributes(n)), 0); }

  // Ends one of the orphans.
  void bury() {
    if (orphans.empty()) return;
    const size_t at = random() % orphans.size();
    Node* n = orphans[at];
    cut(*n, 0, ~0u);
    n->body->size = 0;
    ASSERT_EQ(ext4_write_body(fs, *n->body), 0);
    ASSERT_EQ(ext4_orphan_del(fs, *n->body), 0);
    ASSERT_EQ(ext4_mark_deleted(fs, n->ino, kNow), 0);
    ASSERT_EQ(ext4_free_inode(fs, n->ino, n->directory), 0);
    orphans.erase(orphans.begin() + static_cast<long>(at));
  }

  void link(Node& n) {
    if (!has_room(0)) return;
    Node* dir = directories[random() % directories.size()];
    const std::string name = fresh_name();
    ++n.links;
    ASSERT_EQ(ext4_add_entry(fs, *dir->body, name.data(), static_cast<u32>(name.size()), n.ino, 1), 0);
    dir->names[name] = &n;
    save(n);
    save(*dir);
  }

  void step() {
    const u32 what = random() % 100;
    Node* dir = directories[random() % directories.size()];
    if (what < 35) return make(false);
    if (what < 40) return make(true);
    if (what < 50 && !dir->names.empty()) {
      auto it = dir->names.begin();
      std::advance(it, random() % dir->names.size());
      return remove(dir, std::string(it->first));
    }
    if (files.empty()) return;
    Node& f = *files[random() % files.size()];
    if (what < 80) return write(f);
    if (what < 90) {
      const u32 from = random() % 100;
      return cut(f, from, from + 1 + random() % 50);
    }
    if (what < 95) {
      const u32 from = random() % 100;
      f.body->size = std::min<u64>(f.body->size, static_cast<u64>(from) << fs.block_bits);
      save(f);
      return cut(f, from, ~0u);
    }
    link(f);
  }

  void commit() { ASSERT_EQ(ext4_commit_all(fs, 1000000000ull * kNow), 0); }

  // Everything that should be there is there.
  void verify() {
    for (Node* dir : directories) {
      for (const auto& [name, n] : dir->names) {
        u32 ino = 0;
        ASSERT_EQ(ext4_find_entry(fs, *dir->body, name.data(), static_cast<u32>(name.size()), &ino), 0);
        ASSERT_EQ(ino, n->ino) << name;
      }
    }
    auto& bytes = static_cast<MemoryDevice*>(fs.device)->bytes;
    for (Node* f : files) {
      for (const auto& [at, value] : f->blocks) {
        ext4_run run{};
        ASSERT_EQ(ext4_map(fs, *f->body, at, run), 0);
        ASSERT_NE(run.physical, 0u);
        ASSERT_EQ(run.unwritten, value == 0) << f->ino << " block " << at;
        if (value == 0) continue;
        u32 there;
        memcpy(&there, bytes.data() + (run.physical << fs.block_bits), 4);
        ASSERT_EQ(there, value);
      }
    }
  }

  ext4_fs& fs;
  std::mt19937 random;
  std::unique_ptr<Node> root;
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<Node*> directories, files, orphans;
  u32 serial = 0, stamps = 0;
};

struct Form {
  const char* options;
  const char* size;
};
class Ext4Write : public ::testing::TestWithParam<Form> {
 protected:
  void SetUp() override {
    device.bytes = make_image(GetParam().options, GetParam().size);
    ASSERT_FALSE(device.bytes.empty());
  }
  MemoryDevice device;
};

TEST_P(Ext4Write, RandomWorkIsCleanForE2fsck) {
  ext4_fs fs;
  ASSERT_EQ(ext4_open(fs, device), 0);
  ASSERT_EQ(ext4_open_for_writing(fs, kNow), 0);
  {
    Tree tree(fs, 1);
    for (int i = 0; i < 6000 && !HasFatalFailure(); ++i) {
      tree.step();
      if (i % 100 == 99 || fs.running.count > ext4_transaction_limit(fs) / 2) tree.commit();
    }
    if (!HasFatalFailure()) tree.verify();
    while (!tree.orphans.empty() && !HasFatalFailure()) tree.bury();
    tree.commit();
    ASSERT_EQ(fs.failed, 0);
    ASSERT_TRUE(fs.orphans.empty());
  }
  ext4_close(fs, kNow);
  std::string report;
  EXPECT_EQ(run_e2fsck(device.bytes, &report), 0) << report;
}

TEST_P(Ext4Write, PowerCutsAreRepairedByReplay) {
  device.recording = true;
  std::mt19937 random(7);
  for (int round = 0; round < 6; ++round) {
    std::vector<char> image;
    {
      MemoryDevice live;
      live.bytes = device.bytes;
      ext4_fs fs;
      ASSERT_EQ(ext4_open(fs, live), 0);
      ASSERT_EQ(ext4_open_for_writing(fs, kNow), 0);
      Tree tree(fs, 100 + static_cast<u32>(round));
      live.recording = true;
      for (int i = 0; i < 1200 && !HasFatalFailure(); ++i) {
        tree.step();
        if (i % 50 == 49 || fs.running.count > ext4_transaction_limit(fs) / 2) {
          // Sometimes the power goes before the commit block is flushed.
          ext4_commit_record c;
          ASSERT_EQ(ext4_commit_begin(fs, c), 0);
          ASSERT_EQ(ext4_commit_write(fs, c), 0);
          if (i > 900 && random() % 8 == 0) break;
          ext4_commit_end(fs, c, 0);
          if (random() % 4 == 0) {
            ASSERT_EQ(ext4_checkpoint(fs), 0);
          }
        }
      }
      image = live.cut(random);
      fs.failed = -EIO;  // nothing more is written
      for (auto& n : tree.nodes) {
        if (!n->body->orphan.empty()) list_del(&n->body->orphan);
      }
      ext4_close(fs, kNow);
    }
    // By e2fsck's replay, then by ours.
    std::string report;
    EXPECT_LE(run_e2fsck(image, &report, "-fy -E journal_only"), 1) << report;
    MemoryDevice after;
    after.bytes = image;
    ext4_fs fs;
    ASSERT_EQ(ext4_open(fs, after), 0);
    ASSERT_EQ(ext4_open_for_writing(fs, kNow), 0);
    ext4_close(fs, kNow);
    const int status = run_e2fsck(after.bytes, &report, "-fy");
    EXPECT_LE(status, 1) << report;
    for (const char* damage : {"corrupt", "Unattached", "unconnected", "invalid", "Multiply", "differences"}) {
      const bool orphan_talk = std::string(damage) == "differences" && report.find("orphan") != std::string::npos;
      EXPECT_TRUE(report.find(damage) == std::string::npos || orphan_talk) << report;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, Ext4Write,
                         ::testing::Values(Form{"-b 4096", "64M"}, Form{"-b 1024", "48M"},
                                           Form{"-b 2048 -O ^64bit", "48M"},
                                           Form{"-b 1024 -O ^metadata_csum,uninit_bg,^flex_bg -g 2048", "32M"},
                                           Form{"-b 4096 -O meta_bg,^resize_inode,metadata_csum_seed -I 512", "64M"},
                                           Form{"-b 1024 -O ^has_journal,^dir_index", "24M"}));

}  // namespace
}  // namespace xm::os
