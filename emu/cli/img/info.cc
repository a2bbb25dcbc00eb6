// SPDX-License-Identifier: GPL-2.0-or-later
// img info, check, map, snapshot: what an image is.
#include <algorithm>
#include <climits>
#include <cstdlib>
#include <ctime>

#include "emu/cli/img/common.h"
#include "emu/host/host_file.h"
#include "emu/host/image_snapshots.h"
#include "emu/host/qcow2/check.h"

namespace xm::cli::img {

namespace {

using host::SnapshotInfo;
unsigned long long llu(u64 value) { return value; }

std::string format_text(const char* format, auto... values) {
  char text[512];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

std::string snapshot_table(const std::vector<SnapshotInfo>& all) {
  std::string text = format_text("%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
  for (const SnapshotInfo& info : all) {
    const time_t seconds = info.date_seconds;
    std::tm local{};
    localtime_r(&seconds, &local);
    char date[32];
    std::strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &local);
    const u64 clock = info.vm_clock_nanoseconds / 1'000'000'000;
    const std::string time =
        format_text("%02d:%02d:%02d.%03d", static_cast<int>(clock / 3600), static_cast<int>(clock / 60 % 60),
                    static_cast<int>(clock % 60), static_cast<int>(info.vm_clock_nanoseconds / 1'000'000 % 1000));
    const std::string icount = info.icount == ~u64{0} ? "" : std::to_string(info.icount);
    text += format_text("%-9s %-16s %8s%20s%13s%11s\n", info.id.c_str(), info.name.c_str(),
                        human_size(info.vm_state_bytes).c_str(), date, time.c_str(), icount.c_str());
  }
  return text;
}

struct Described {
  std::string path;
  std::unique_ptr<host::BlockImage> image;
  u64 disk_bytes = 0;
};

std::string info_text(Described& described) {
  host::BlockImage& image = *described.image;
  std::string text = "image: " + described.path + "\nfile format: " + std::string(image.format()) +
                     "\nvirtual size: " + human_size(image.size_bytes()) + " (" + std::to_string(image.size_bytes()) +
                     " bytes)\ndisk size: " + human_size(described.disk_bytes) + "\n";
  const auto* qcow2 = dynamic_cast<host::Qcow2Image*>(&image);
  if (qcow2 == nullptr) return text;
  const host::qcow2::Header& header = qcow2->header();
  if ((header.incompatible & host::qcow2::kDirty) != 0) text += "cleanly shut down: no\n";
  text += "cluster_size: " + std::to_string(header.cluster_bytes()) + "\n";
  if (!header.backing_file.empty()) {
    const Result<std::string> actual = host::resolve_backing_name(described.path, header.backing_file);
    text += "backing file: " + header.backing_file;
    if (!actual.ok())
      text += " (cannot determine actual path)";
    else if (actual.value() != header.backing_file)
      text += " (actual path: " + actual.value() + ")";
    text += "\n";
    if (!header.backing_format.empty()) text += "backing file format: " + header.backing_format + "\n";
  }
  const std::vector<SnapshotInfo> snapshots = image.snapshots()->list();
  if (!snapshots.empty()) text += "Snapshot list:\n" + snapshot_table(snapshots);
  text += "Format specific information:\n    compat: " + std::string(header.version >= 3 ? "1.1" : "0.10") +
          "\n    compression type: " + (header.compression == host::qcow2::Compression::Zstd ? "zstd" : "zlib") + "\n";
  const auto truth = [](bool value) { return value ? "true" : "false"; };
  if (header.version >= 3) {
    text += std::string("    lazy refcounts: ") + truth((header.compatible & host::qcow2::kLazyRefcounts) != 0) +
            "\n    refcount bits: " + std::to_string(1u << header.refcount_order) +
            "\n    corrupt: " + truth((header.incompatible & host::qcow2::kCorrupt) != 0) +
            "\n    extended l2: " + truth(header.extended_l2()) + "\n";
  } else {
    text += "    refcount bits: 16\n";
  }
  return text;
}

std::string info_json(Described& described, const std::string& indent) {
  host::BlockImage& image = *described.image;
  const auto* qcow2 = dynamic_cast<host::Qcow2Image*>(&image);
  const std::string in = indent + "    ";
  const auto line = [&](const char* key, const std::string& value) { return in + "\"" + key + "\": " + value + ",\n"; };
  const auto truth = [](bool value) { return std::string(value ? "true" : "false"); };
  std::string text = indent + "{\n";
  bool dirty = false;
  text += line("virtual-size", std::to_string(image.size_bytes())) + line("filename", json_string(described.path)) +
          line("format", json_string(image.format())) + line("actual-size", std::to_string(described.disk_bytes));
  if (qcow2 != nullptr) {
    const host::qcow2::Header& header = qcow2->header();
    dirty = (header.incompatible & host::qcow2::kDirty) != 0;
    text += line("cluster-size", std::to_string(header.cluster_bytes()));
    if (!header.backing_file.empty()) {
      const Result<std::string> actual = host::resolve_backing_name(described.path, header.backing_file);
      if (actual.ok()) text += line("full-backing-filename", json_string(actual.value()));
      text += line("backing-filename", json_string(header.backing_file));
      if (!header.backing_format.empty()) text += line("backing-filename-format", json_string(header.backing_format));
    }
    const std::vector<SnapshotInfo> snapshots = image.snapshots()->list();
    if (!snapshots.empty()) {
      text += in + "\"snapshots\": [\n";
      for (std::size_t i = 0; i < snapshots.size(); i++) {
        const SnapshotInfo& info = snapshots[i];
        text += in + "    {\n";
        if (info.icount != ~u64{0}) text += in + format_text("        \"icount\": %llu,\n", llu(info.icount));
        text += in + format_text("        \"vm-clock-nsec\": %llu,\n", llu(info.vm_clock_nanoseconds % 1'000'000'000)) +
                in + "        \"name\": " + json_string(info.name) + ",\n" + in +
                format_text("        \"date-sec\": %u,\n", info.date_seconds) + in +
                format_text("        \"date-nsec\": %u,\n", info.date_nanoseconds) + in +
                format_text("        \"vm-clock-sec\": %llu,\n", llu(info.vm_clock_nanoseconds / 1'000'000'000)) + in +
                "        \"id\": " + json_string(info.id) + ",\n" + in +
                format_text("        \"vm-state-size\": %llu\n", llu(info.vm_state_bytes)) + in + "    }" +
                (i + 1 < snapshots.size() ? ",\n" : "\n");
      }
      text += in + "],\n";
    }
    text += in + "\"format-specific\": {\n" + in + "    \"type\": \"qcow2\",\n" + in + "    \"data\": {\n" + in +
            "        \"compat\": " + (header.version >= 3 ? "\"1.1\"" : "\"0.10\"") + ",\n" + in +
            "        \"compression-type\": " +
            (header.compression == host::qcow2::Compression::Zstd ? "\"zstd\"" : "\"zlib\"") + ",\n";
    if (header.version >= 3)
      text +=
          in + "        \"lazy-refcounts\": " + truth((header.compatible & host::qcow2::kLazyRefcounts) != 0) + ",\n";
    text += in + "        \"refcount-bits\": " + std::to_string(1u << header.refcount_order);
    if (header.version >= 3) {
      text += ",\n" + in + "        \"corrupt\": " + truth((header.incompatible & host::qcow2::kCorrupt) != 0) + ",\n" +
              in + "        \"extended-l2\": " + truth(header.extended_l2());
    }
    text += "\n" + in + "    }\n" + in + "},\n";
  }
  return text + in + "\"dirty-flag\": " + truth(dirty) + "\n" + indent + "}";
}

Result<std::string> output_of(const Arguments& arguments) {
  const std::string output = arguments.get("output", "human");
  if (output == "human" || output == "json") return output;
  return Error{"--output must be used with human or json as argument."};
}

Result<u64> disk_bytes_of(const std::string& path) {
  const host::HostFile file =
      TRY(host::HostFile::open(path, host::HostFile::Access::ReadOnly, host::HostFile::Locking::Off));
  return file.allocated_bytes();
}

}  // namespace

Result<int> info(const std::vector<std::string>& words) {
  const Arguments arguments =
      TRY(Arguments::parse(words, "f:U", {"output=", "backing-chain", "image-opts", "object=", "force-share"}));
  if (arguments.rest().size() != 1) return Error{"Expecting one image file name"};
  const std::string output = TRY(output_of(arguments));
  host::ImageOptions options;
  options.format = arguments.get("f");
  options.read_only = true;
  options.with_backing = false;
  options.locking = !arguments.has("U") && !arguments.has("force-share");
  std::vector<Described> chain;
  std::string path = arguments.rest()[0];
  while (!path.empty()) {
    Described described{.path = path, .image = TRY(open(path, options, arguments.has("image-opts") && chain.empty()))};
    const std::string real = described.image->description();
    for (const Described& other : chain) {
      if (other.image->description() == real) return Error{"Backing file '" + real + "' creates an infinite loop."};
    }
    described.disk_bytes = TRY(disk_bytes_of(real));
    const auto* qcow2 = dynamic_cast<host::Qcow2Image*>(described.image.get());
    path.clear();
    if (arguments.has("backing-chain") && qcow2 != nullptr && !qcow2->header().backing_file.empty()) {
      path = TRY(host::resolve_backing_name(real, qcow2->header().backing_file));
      options.format = qcow2->header().backing_format;
    }
    chain.push_back(std::move(described));
  }
  std::string text;
  if (output == "json" && !arguments.has("backing-chain")) {
    text = info_json(chain[0], "") + "\n";
  } else if (output == "json") {
    text = "[\n";
    for (std::size_t i = 0; i < chain.size(); i++)
      text += info_json(chain[i], "    ") + (i + 1 < chain.size() ? ",\n" : "\n");
    text += "]\n";
  } else {
    for (std::size_t i = 0; i < chain.size(); i++) text += (i != 0 ? "\n" : "") + info_text(chain[i]);
  }
  std::fputs(text.c_str(), stdout);
  return 0;
}

namespace {

std::string check_human(const host::CheckResult& result) {
  std::string text;
  if (result.corruptions == 0 && result.leaks == 0 && result.check_errors == 0) {
    text = "No errors were found on the image.\n";
  } else {
    if (result.corruptions != 0)
      text += format_text(
          "\n%llu errors were found on the image.\nData may be corrupted, or further writes to the image may corrupt "
          "it.\n",
          llu(result.corruptions));
    if (result.leaks != 0)
      text += format_text(
          "\n%llu leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.\n",
          llu(result.leaks));
    if (result.check_errors != 0)
      text += format_text("\n%llu internal errors have occurred during the check.\n", llu(result.check_errors));
  }
  if (result.total_clusters != 0 && result.allocated_clusters != 0) {
    const double allocated = static_cast<double>(result.allocated_clusters);
    text += format_text("%llu/%llu = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed clusters\n",
                        llu(result.allocated_clusters), llu(result.total_clusters),
                        allocated * 100 / static_cast<double>(result.total_clusters),
                        static_cast<double>(result.fragmented_clusters) * 100 / allocated,
                        static_cast<double>(result.compressed_clusters) * 100 / allocated);
  }
  if (result.image_end_offset != 0) text += format_text("Image end offset: %llu\n", llu(result.image_end_offset));
  return text;
}

std::string check_json(const host::CheckResult& result, const std::string& path) {
  std::string text = "{\n";
  const auto number = [&](const char* key, u64 value, bool always) {
    if (always || value != 0) text += format_text("    \"%s\": %llu,\n", key, llu(value));
  };
  number("image-end-offset", result.image_end_offset, false);
  number("total-clusters", result.total_clusters, false);
  number("check-errors", result.check_errors, true);
  number("allocated-clusters", result.allocated_clusters, false);
  number("fragmented-clusters", result.fragmented_clusters, false);
  number("compressed-clusters", result.compressed_clusters, false);
  number("corruptions", result.corruptions, false);
  number("leaks", result.leaks, false);
  number("corruptions-fixed", result.corruptions_fixed, false);
  number("leaks-fixed", result.leaks_fixed, false);
  return text + "    \"filename\": " + json_string(path) + ",\n    \"format\": \"qcow2\"\n}\n";
}

}  // namespace

Result<int> check(const std::vector<std::string>& words) {
  const Arguments arguments =
      TRY(Arguments::parse(words, "f:r:qT:U", {"output=", "repair=", "image-opts", "object=", "force-share"}));
  if (arguments.rest().size() != 1) return Error{"Expecting one image file name"};
  const std::string output = TRY(output_of(arguments));
  const std::string repair_text = arguments.get("r", arguments.get("repair", ""));
  if (!repair_text.empty() && repair_text != "leaks" && repair_text != "all")
    return Error{"-r must be used with leaks or all as argument."};
  const host::CheckRepair repair = repair_text == "all"     ? host::CheckRepair::All
                                   : repair_text == "leaks" ? host::CheckRepair::Leaks
                                                            : host::CheckRepair::None;
  host::ImageOptions options;
  options.format = arguments.get("f");
  options.read_only = repair == host::CheckRepair::None;
  options.with_backing = false;
  options.ignore_dirty = true;
  options.locking = !arguments.has("U") && !arguments.has("force-share");
  TRY(apply_cache_mode(arguments.get("T"), options));
  const std::string& path = arguments.rest()[0];
  const std::unique_ptr<host::BlockImage> image = TRY(open(path, options, arguments.has("image-opts")));
  auto* qcow2 = dynamic_cast<host::Qcow2Image*>(image.get());
  const bool quiet = arguments.has("q");
  if (qcow2 == nullptr) {
    if (!quiet) std::fputs("xiaoma: error: This image format does not support checks\n", stderr);
    return 63;
  }
  host::CheckResult result = TRY(host::Qcow2Checker(*qcow2).check(repair));
  const auto messages = [&] {
    for (const std::string& message : result.messages) {
      if (!quiet) std::fprintf(stderr, "%s\n", message.c_str());
    }
  };
  messages();
  const u64 leaks_fixed = result.leaks_fixed, corruptions_fixed = result.corruptions_fixed;
  if (leaks_fixed != 0 || corruptions_fixed != 0) {
    if (output == "human" && !quiet) {
      std::fputs("The following inconsistencies were found and repaired:\n\n", stdout);
      std::printf("    %llu leaked clusters\n    %llu corruptions\n\nDouble checking the fixed image now...\n",
                  llu(leaks_fixed), llu(corruptions_fixed));
    }
    result = TRY(host::Qcow2Checker(*qcow2).check(host::CheckRepair::None));
    messages();
    result.leaks_fixed = leaks_fixed;
    result.corruptions_fixed = corruptions_fixed;
  }
  if (output == "json")
    std::fputs(check_json(result, path).c_str(), stdout);
  else if (!quiet)
    std::fputs(check_human(result).c_str(), stdout);
  if (result.check_errors != 0) return 1;
  if (result.corruptions != 0) return 2;
  return result.leaks != 0 ? 3 : 0;
}

Result<int> map(const std::vector<std::string>& words) {
  const Arguments arguments = TRY(Arguments::parse(
      words, "f:s:l:U", {"output=", "start-offset=", "max-length=", "image-opts", "object=", "force-share"}));
  if (arguments.rest().size() != 1) return Error{"Expecting one image file name"};
  const bool json = TRY(output_of(arguments)) == "json";
  host::ImageOptions options;
  options.format = arguments.get("f");
  options.read_only = true;
  options.locking = !arguments.has("U") && !arguments.has("force-share");
  const std::unique_ptr<host::BlockImage> image = TRY(open(arguments.rest()[0], options, arguments.has("image-opts")));
  u64 at = 0, end = image->size_bytes();
  const std::string start_text = arguments.get("s", arguments.get("start-offset"));
  const std::string length_text = arguments.get("l", arguments.get("max-length"));
  if (!start_text.empty()) {
    const u64 start = TRY(parse_image_size(start_text));
    at = std::min(end, start);
  }
  if (!length_text.empty()) {
    const u64 length = TRY(parse_image_size(length_text));
    end = length < end - at ? at + length : end;
  }

  std::string text;
  if (!json) std::printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
  bool first = true;
  const auto print = [&](u64 start, const ChainExtent& run) -> Result<void> {
    const host::Extent& extent = run.extent;
    if (!json) {
      if (!extent.data || extent.zero) return {};
      if (!extent.has_offset) return Error{"File contains external, encrypted or compressed clusters."};
      std::printf("%#-16llx%#-16llx%#-16llx%s\n", llu(start), llu(extent.length_bytes), llu(extent.offset),
                  run.layer->description().c_str());
      return {};
    }
    const auto truth = [](bool value) { return value ? "true" : "false"; };
    std::printf("%s{ \"start\": %llu, \"length\": %llu, \"depth\": %u, \"present\": %s, \"zero\": %s, \"data\": %s",
                first ? "[" : ",\n", llu(start), llu(extent.length_bytes), run.depth, truth(extent.allocated),
                truth(extent.zero), truth(extent.data));
    if (extent.has_offset) std::printf(", \"offset\": %llu", llu(extent.offset));
    std::printf("}");
    first = false;
    return {};
  };
  ChainExtent pending;
  u64 pending_at = at;
  bool have = false;
  while (at < end) {
    const ChainExtent found = TRY(chain_extent(*image, at, end - at));
    const host::Extent &a = pending.extent, &b = found.extent;
    const bool joins = have && a.allocated == b.allocated && a.zero == b.zero && a.data == b.data &&
                       a.has_offset == b.has_offset && pending.depth == found.depth &&
                       (!a.has_offset || a.offset + a.length_bytes == b.offset);
    if (joins) {
      pending.extent.length_bytes += b.length_bytes;
    } else {
      if (have) TRY(print(pending_at, pending));
      pending = found;
      pending_at = at;
      have = true;
    }
    at += found.extent.length_bytes;
  }
  if (have) TRY(print(pending_at, pending));
  if (json) std::puts(first ? "[]" : "]");
  return 0;
}

Result<int> snapshot(const std::vector<std::string>& words) {
  const Arguments arguments = TRY(Arguments::parse(words, "la:c:d:f:qU", {"image-opts", "object=", "force-share"}));
  if (arguments.rest().size() != 1) return Error{"Expecting one image file name"};
  const int actions = arguments.has("a") + arguments.has("c") + arguments.has("d") + arguments.has("l");
  if (actions > 1) return Error{"Cannot mix '-l', '-a', '-c', '-d'"};
  const bool listing = actions == 0 || arguments.has("l");
  host::ImageOptions options;
  options.format = arguments.get("f");
  options.read_only = listing;
  options.locking = !arguments.has("U") && !arguments.has("force-share");
  const std::unique_ptr<host::BlockImage> image = TRY(open(arguments.rest()[0], options, arguments.has("image-opts")));
  host::ImageSnapshots* snapshots = image->snapshots();
  if (listing) {
    const std::vector<SnapshotInfo> all = snapshots == nullptr ? std::vector<SnapshotInfo>() : snapshots->list();
    if (!all.empty()) std::printf("Snapshot list:\n%s", snapshot_table(all).c_str());
    return 0;
  }
  if (snapshots == nullptr) return Error{"image format has no snapshots: " + arguments.rest()[0] + "; use qcow2"};
  if (arguments.has("c")) TRY(snapshots->create({.name = arguments.get("c"), .icount = 0}));
  if (arguments.has("a")) TRY(snapshots->apply(arguments.get("a")));
  if (arguments.has("d")) TRY(snapshots->remove(arguments.get("d")));
  return 0;
}

}  // namespace xm::cli::img
