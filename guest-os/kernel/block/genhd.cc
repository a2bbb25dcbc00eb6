// SPDX-License-Identifier: GPL-2.0-or-later
// Disks: the list of them, their partitions and nodes in /dev, /proc/partitions and /proc/diskstats, and the words
// root=, rootfstype=, rootflags=, ro and rw of the command line.
#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/block/block.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"

namespace xm::os {

constinit gendisk* disks = nullptr;

namespace {

struct CacheReader final : partition_reader {
  block_device* bdev;
  explicit CacheReader(block_device* b) : bdev(b) {}
  bool read(u64 sector, u8* to) const override {
    auto got = read_mapping_page(blkdev_mapping(bdev), sector >> 3, nullptr);
    if (!got.ok()) return false;
    memcpy(to, static_cast<const char*>(page_to_virt(got.value())) + (sector & 7) * 512, 512);
    put_page(got.value());
    return true;
  }
};

void add_part(gendisk* disk, u32 number, u64 start, u64 sectors, device* parent = nullptr) {
  block_device& b = disk->parts[number];
  b.disk = disk;
  b.number = make_dev(disk->major, disk->first_minor + number);
  b.start = start;
  b.sectors = sectors;
  // Names that end in a digit get a p before the number: nvme0n1p1.
  const char last = disk->name[strlen(disk->name) - 1];
  if (number == 0) {
    copy_string(b.name, disk->name, sizeof b.name);
  } else {
    format(b.name, sizeof b.name, last >= '0' && last <= '9' ? "%sp%u" : "%s%u", disk->name, number);
  }
  bdev_init(&b);
  devtmpfs_create(b.name, S_IFBLK | 0660, b.number);
  blk_register_device(&b, parent);
}

// Reads the table and makes its partitions; returns their number.
u32 scan_partitions(gendisk* disk) {
  partition_entry found[kMaxPartitions];
  const CacheReader reader{&disk->parts[0]};
  u32 count = 0;
  if (disk->partitioned) {
    count = scan_gpt(reader, disk->sectors, found, kMaxPartitions - 1);
    if (count == 0) count = scan_mbr(reader, disk->sectors, found, kMaxPartitions - 1, &disk->signature);
  }
  for (u32 i = 0; i < count; ++i) {
    if (found[i].number < kMaxPartitions) add_part(disk, found[i].number, found[i].start, found[i].sectors);
  }
  return count;
}

template <class Function>
void for_each_device(Function f) {
  for (gendisk* d = disks; d != nullptr; d = d->next) {
    for (block_device& b : d->parts) {
      if (b.disk != nullptr) f(b);
    }
  }
}

void show_partitions(TextBuffer& out, void*) {
  out.print("major minor  #blocks  name\n\n");
  for_each_device([&](const block_device& b) {
    out.print("%4u  %7u %10lu %s\n", major_of(b.number), minor_of(b.number), b.sectors / 2, b.name);
  });
}

void show_diskstats(TextBuffer& out, void*) {
  for_each_device([&](const block_device& b) {
    out.print("%4u %7u %s ", major_of(b.number), minor_of(b.number), b.name);
    blk_show_stat(out, &b);
  });
}

void block_proc_init() {
  proc_create(&proc_root, "partitions", 0444, show_partitions);
  proc_create(&proc_root, "diskstats", 0444, show_diskstats);
}
FS_INITCALL(block_proc_init);

// /dev/NAME, PARTUUID=SSSSSSSS-PP, MAJOR:MINOR, or a hexadecimal number (major * 256 + minor).
block_device* root_device(const char* text) {
  if (starts_with(text, "/dev/")) return find_block_device(text + 5);
  const char* end = nullptr;
  if (starts_with(text, "PARTUUID=")) {
    const u64 signature = parse_number(text + 9, &end, 16);
    const u64 part = *end == '-' ? parse_number(end + 1, nullptr, 16) : 0;
    for (gendisk* d = disks; d != nullptr; d = d->next) {
      if (d->signature == signature && part > 0 && part < kMaxPartitions && d->parts[part].disk != nullptr)
        return &d->parts[part];
    }
    return nullptr;
  }
  u64 major = parse_number(text, &end, 10), minor = 0;
  if (*end == ':') {
    minor = parse_number(end + 1, nullptr, 10);
  } else {
    minor = parse_number(text, nullptr, 16);
    major = minor >> 8;
    minor &= 0xff;
  }
  auto found = blkdev_get(make_dev(static_cast<u32>(major), static_cast<u32>(minor)));
  return found.ok() ? found.value() : nullptr;
}

bool named_in(const char* list, const char* name) {
  if (list[0] == 0) return true;
  const size_t n = strlen(name);
  for (const char* at = list; at != nullptr; at = strchr(at, ',')) {
    if (*at == ',') ++at;
    if (strncmp(at, name, n) == 0 && (at[n] == 0 || at[n] == ',')) return true;
  }
  return false;
}

}  // namespace

block_device* find_block_device(const char* name) {
  block_device* found = nullptr;
  for_each_device([&](block_device& b) {
    if (strcmp(b.name, name) == 0) found = &b;
  });
  return found;
}

void set_capacity(gendisk* disk, u64 sectors) {
  disk->sectors = disk->parts[0].sectors = sectors;
  disk->parts[0].host->i_size = static_cast<loff_t>(sectors * 512);
}

int blk_rescan(gendisk* disk) {
  if (!disk->partitioned) return -EINVAL;
  for (u32 i = 1; i < kMaxPartitions; ++i) {
    const block_device& b = disk->parts[i];
    if (b.disk == nullptr) continue;
    if (b.open_count > 0) return -EBUSY;
    for (super_block* sb : entries<&super_block::s_list>(super_blocks)) {
      if (sb->s_bdev == &b) return -EBUSY;
    }
  }
  for (u32 i = 1; i < kMaxPartitions; ++i) {
    block_device& b = disk->parts[i];
    if (b.disk == nullptr) continue;
    filemap_write_and_wait(&b.host->i_data, 0, b.host->i_size, true);
    truncate_inode_pages(&b.host->i_data, 0);
    blk_unregister_device(&b);
    devtmpfs_remove(b.name);
    b.disk = nullptr;
  }
  scan_partitions(disk);
  return 0;
}

int add_disk(gendisk* disk, device* parent) {
  for (request& r : disk->queue.requests) list_add_tail(&r.link, &disk->queue.free);
  gendisk** at = &disks;
  while (*at != nullptr) at = &(*at)->next;
  *at = disk;
  add_part(disk, 0, 0, disk->sectors, parent);
  const u32 count = scan_partitions(disk);
  printk(KERN_INFO "%s: %lu 512-byte sectors, %u partition(s)%s\n", disk->name, disk->sectors, count,
         disk->read_only ? ", read-only" : "");
  return 0;
}

bool prepare_root(const char* device) {
  block_device* bdev = root_device(device);
  if (bdev == nullptr) {
    printk(KERN_ERR "VFS: Cannot open root device \"%s\"\n", device);
    for_each_device([](const block_device& b) { printk(KERN_ERR "VFS: there is %s\n", b.name); });
    return false;
  }
  char types[64] = "", options[128] = "", source[32];
  command_line_value("rootfstype", types, sizeof types);
  command_line_value("rootflags", options, sizeof options);
  const u64 flags = command_line_flag("rw") ? 0 : MS_RDONLY;
  format(source, sizeof source, "/dev/%s", bdev->name);
  for (file_system_type* t = file_systems; t != nullptr; t = t->next) {
    if ((t->flags & FS_REQUIRES_DEV) == 0 || !named_in(types, t->name)) continue;
    auto sb = get_super(t, source, options, flags);
    if (!sb.ok()) {
      printk(KERN_WARNING "VFS: %s is not mounted as %s (error %d)\n", source, t->name, -sb.error());
      continue;
    }
    if (change_root(sb.value(), source, sb.value()->s_flags & MS_RDONLY) != 0) return false;
    printk(KERN_INFO "VFS: Mounted root (%s filesystem)%s on device %s\n", t->name,
           (sb.value()->s_flags & MS_RDONLY) != 0 ? " readonly" : "", bdev->name);
    do_mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr);
    return true;
  }
  printk(KERN_ERR "VFS: Unable to mount root fs on %s\n", source);
  return false;
}

}  // namespace xm::os
