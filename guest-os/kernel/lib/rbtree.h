// SPDX-License-Identifier: GPL-2.0-or-later
// Red-black tree with intrusive nodes, used by the fair scheduler (vruntime), the VMAs of an mm and the timers. The
// user finds the place (rb_insert with a comparison), the tree keeps the balance; the leftmost node is cached.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct rb_node {
  rb_node* parent = nullptr;
  rb_node* left = nullptr;
  rb_node* right = nullptr;
  bool red = false;
  bool linked = false;
};

struct rb_root {
  rb_node* node = nullptr;
  rb_node* leftmost = nullptr;
};

void rb_link_and_balance(rb_root& root, rb_node* node, rb_node* parent, rb_node** link);
void rb_erase(rb_root& root, rb_node* node);
rb_node* rb_next(const rb_node* node);
rb_node* rb_prev(const rb_node* node);
rb_node* rb_last(const rb_root& root);

// less(a, b) orders nodes; equal keys go right, so that insertion order is kept among them.
template <class Less>
void rb_insert(rb_root& root, rb_node* node, Less less) {
  rb_node** link = &root.node;
  rb_node* parent = nullptr;
  bool leftmost = true;
  while (*link != nullptr) {
    parent = *link;
    if (less(node, parent)) {
      link = &parent->left;
    } else {
      link = &parent->right;
      leftmost = false;
    }
  }
  if (leftmost) root.leftmost = node;
  rb_link_and_balance(root, node, parent, link);
}

}  // namespace xm::os
