// SPDX-License-Identifier: GPL-2.0-or-later
// Red-black tree balancing, after Cormen et al., "Introduction to Algorithms", chapter 13, with null leaves.
#include "kernel/lib/rbtree.h"

namespace xm::os {
namespace {

bool is_red(const rb_node* n) { return n != nullptr && n->red; }

void replace_child(rb_root& root, rb_node* parent, rb_node* old_child, rb_node* new_child) {
  if (parent == nullptr) {
    root.node = new_child;
  } else if (parent->left == old_child) {
    parent->left = new_child;
  } else {
    parent->right = new_child;
  }
}

void rotate_left(rb_root& root, rb_node* x) {
  rb_node* y = x->right;
  x->right = y->left;
  if (y->left != nullptr) y->left->parent = x;
  y->parent = x->parent;
  replace_child(root, x->parent, x, y);
  y->left = x;
  x->parent = y;
}

void rotate_right(rb_root& root, rb_node* x) {
  rb_node* y = x->left;
  x->left = y->right;
  if (y->right != nullptr) y->right->parent = x;
  y->parent = x->parent;
  replace_child(root, x->parent, x, y);
  y->right = x;
  x->parent = y;
}

// `node` (possibly null, below `parent`) lacks one black node on its paths.
void repair_erase(rb_root& root, rb_node* node, rb_node* parent) {
  while (node != root.node && !is_red(node)) {
    const bool is_left = node == parent->left;
    rb_node* sibling = is_left ? parent->right : parent->left;
    if (is_red(sibling)) {
      sibling->red = false;
      parent->red = true;
      is_left ? rotate_left(root, parent) : rotate_right(root, parent);
      sibling = is_left ? parent->right : parent->left;
    }
    rb_node* near = is_left ? sibling->left : sibling->right;
    rb_node* far = is_left ? sibling->right : sibling->left;
    if (!is_red(near) && !is_red(far)) {
      sibling->red = true;
      node = parent;
      parent = node->parent;
      continue;
    }
    if (!is_red(far)) {
      near->red = false;
      sibling->red = true;
      is_left ? rotate_right(root, sibling) : rotate_left(root, sibling);
      sibling = is_left ? parent->right : parent->left;
      far = is_left ? sibling->right : sibling->left;
    }
    sibling->red = parent->red;
    parent->red = false;
    far->red = false;
    is_left ? rotate_left(root, parent) : rotate_right(root, parent);
    node = root.node;
  }
  if (node != nullptr) node->red = false;
}

}  // namespace

void rb_link_and_balance(rb_root& root, rb_node* node, rb_node* parent, rb_node** link) {
  node->parent = parent;
  node->left = node->right = nullptr;
  node->red = true;
  node->linked = true;
  *link = node;
  while (is_red(node->parent)) {
    rb_node* p = node->parent;
    rb_node* grand = p->parent;
    const bool p_is_left = p == grand->left;
    rb_node* uncle = p_is_left ? grand->right : grand->left;
    if (is_red(uncle)) {
      p->red = uncle->red = false;
      grand->red = true;
      node = grand;
      continue;
    }
    if (node == (p_is_left ? p->right : p->left)) {
      p_is_left ? rotate_left(root, p) : rotate_right(root, p);
      swap(node, p);
    }
    p->red = false;
    grand->red = true;
    p_is_left ? rotate_right(root, grand) : rotate_left(root, grand);
  }
  root.node->red = false;
}

void rb_erase(rb_root& root, rb_node* node) {
  if (root.leftmost == node) root.leftmost = rb_next(node);
  rb_node* child;
  rb_node* parent;
  bool removed_red;
  if (node->left != nullptr && node->right != nullptr) {
    rb_node* next = node->right;
    while (next->left != nullptr) next = next->left;
    removed_red = next->red;
    child = next->right;
    if (next->parent == node) {
      parent = next;
    } else {
      parent = next->parent;
      parent->left = child;
      if (child != nullptr) child->parent = parent;
      next->right = node->right;
      next->right->parent = next;
    }
    next->left = node->left;
    next->left->parent = next;
    next->parent = node->parent;
    next->red = node->red;
    replace_child(root, node->parent, node, next);
  } else {
    child = node->left != nullptr ? node->left : node->right;
    parent = node->parent;
    removed_red = node->red;
    if (child != nullptr) child->parent = parent;
    replace_child(root, parent, node, child);
  }
  if (!removed_red && root.node != nullptr) repair_erase(root, child, parent);
  node->linked = false;
  node->parent = node->left = node->right = nullptr;
}

rb_node* rb_next(const rb_node* node) {
  if (node->right != nullptr) {
    rb_node* n = node->right;
    while (n->left != nullptr) n = n->left;
    return n;
  }
  while (node->parent != nullptr && node == node->parent->right) node = node->parent;
  return node->parent;
}

rb_node* rb_prev(const rb_node* node) {
  if (node->left != nullptr) {
    rb_node* n = node->left;
    while (n->right != nullptr) n = n->right;
    return n;
  }
  while (node->parent != nullptr && node == node->parent->left) node = node->parent;
  return node->parent;
}

rb_node* rb_last(const rb_root& root) {
  rb_node* n = root.node;
  while (n != nullptr && n->right != nullptr) n = n->right;
  return n;
}

}  // namespace xm::os
