// The cheapest transport of weight between two sets of points, by the network simplex method.
//
// The basis is a tree of the sources, the sinks and a root. A greedy transport is the start: the
// root holds each of its parts by an arc that points to the root, and so carries nothing for ever.
// The tree stays strongly feasible, that is, every arc without flow points to the root
// (W. H. Cunningham, Mathematical Programming 11 (1976) 105): no tree comes twice, however many
// distances or partial sums are equal.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace anomaly_hep {

class Transport {
 public:
  static constexpr double UNFINISHED = -1;

  // for at most so many sources and sinks
  Transport(int sources, int sinks)
      : width_(whole(sources)), root_(width_ + sinks), costs_(int64_t{width_} * sinks),
        least_(width_), sink_(width_), rest_(root_), price_(root_ + 1), flow_(root_ + 1),
        parent_(root_ + 1), depth_(root_ + 1), child_(root_ + 1), next_(root_ + 1),
        before_(root_ + 1), link_(root_ + 1) {}

  // what is to be filled in: weights, and costs of a unit of weight from every source to a sink
  double& supply(int source) { return rest_[source]; }
  double& demand(int sink) { return rest_[width_ + sink]; }
  double* costs(int sink) { return &costs_[int64_t{width_} * sink]; }

  // Return the smallest cost. Weights are positive, with equal sums up to rounding, costs are
  // finite and at least 0. UNFINISHED after more trees than any transport needs.
  double solve(int sources, int sinks) {
    sources_ = sources;
    sinks_ = sinks;
    const double largest = finish_costs();
    const int64_t nodes = int64_t{sources} + sinks;
    // a price is a sum along the tree, and rounded at every arc
    rounding_ = std::numeric_limits<double>::epsilon() * static_cast<double>(nodes) * largest;
    left_ = 16 * nodes * nodes;  // about half a tree for each node is usual
    begin();
    while (improve())
      if (left_ < 0) return UNFINISHED;
    return total();
  }

 private:
  static constexpr int LANES = 8;
  typedef double Lanes __attribute__((vector_size(8 * LANES)));

  // an arc of the greedy transport, and the next one at its source and at its sink
  struct Arc {
    int source, sink, next_of_source, next_of_sink;
    double flow;
  };

  static int whole(int n) { return (n + LANES - 1) / LANES * LANES; }
  bool is_source(int node) const { return node < width_; }
  // whether the arc between a node and its parent points to the parent
  bool points_up(int node) const { return is_source(node) || parent_[node] == root_; }
  double cost(int a, int b) const {
    const int source = std::min(a, b), sink = std::max(a, b) - width_;
    return costs_[int64_t{width_} * sink + source];
  }

  // make what fills the last lanes dear; return the largest cost
  double finish_costs() {
    double largest = 0;
    for (int t = 0; t < sinks_; t++) {
      double* row = costs(t);
      for (int s = 0; s < sources_; s++) largest = std::max(largest, row[s]);
      std::fill(row + sources_, row + whole(sources_), std::numeric_limits<double>::infinity());
    }
    return largest;
  }

  void begin() {
    for (auto* nodes : {&parent_, &child_, &next_, &before_, &link_})
      std::fill(nodes->begin(), nodes->end(), -1);
    depth_[root_] = 0;
    arcs_.clear();
    open_.clear();
    for (int t = 0; t < sinks_; t++) open_.push_back(width_ + t);
    for (int s = 0; s < sources_; s++) send(s);
    for (int s = 0; s < sources_; s++) grow(s);
    for (int t = 0; t < sinks_; t++) grow(width_ + t);
  }

  // A source sends to the nearest sinks that still take something. Each arc empties its source or
  // fills its sink, so that the arcs are trees.
  void send(int source) {
    while (rest_[source] > 0 && !open_.empty()) {
      size_t nearest = 0;
      for (size_t k = 1; k < open_.size(); k++)
        if (cost(source, open_[k]) < cost(source, open_[nearest])) nearest = k;
      const int sink = open_[nearest], arc = static_cast<int>(arcs_.size());
      const double flow = std::min(rest_[source], rest_[sink]);
      arcs_.push_back({source, sink, link_[source], link_[sink], flow});
      link_[source] = link_[sink] = arc;
      rest_[source] -= flow;
      rest_[sink] -= flow;
      if (!(rest_[sink] > 0)) {
        open_[nearest] = open_.back();
        open_.pop_back();
      }
    }
  }

  // hang on the root what the greedy transport connects with a node
  void grow(int top) {
    if (parent_[top] >= 0) return;
    hang(top, root_);
    flow_[top] = 0;
    stack_.assign(1, top);
    while (!stack_.empty()) {
      const int node = stack_.back();
      stack_.pop_back();
      for (int a = link_[node]; a >= 0;) {
        const Arc& arc = arcs_[a];
        const int other = is_source(node) ? arc.sink : arc.source;
        a = is_source(node) ? arc.next_of_source : arc.next_of_sink;
        if (parent_[other] >= 0) continue;
        hang(other, node);
        flow_[other] = arc.flow;
        stack_.push_back(other);
      }
    }
    settle(top);
  }

  void hang(int node, int parent) {
    parent_[node] = parent;
    next_[node] = child_[parent];
    before_[node] = -1;
    if (child_[parent] >= 0) before_[child_[parent]] = node;
    child_[parent] = node;
  }

  void cut(int node) {
    (before_[node] >= 0 ? next_[before_[node]] : child_[parent_[node]]) = next_[node];
    if (next_[node] >= 0) before_[next_[node]] = before_[node];
  }

  // Set prices and depths of a node and all below: the prices of both ends of an arc add up to its
  // cost. They are computed anew, as sums of changes would drift.
  void settle(int top) {
    stack_.assign(1, top);
    while (!stack_.empty()) {
      const int node = stack_.back(), parent = parent_[node];
      stack_.pop_back();
      price_[node] = parent == root_ ? 0 : cost(node, parent) - price_[parent];
      depth_[node] = depth_[parent] + 1;
      for (int c = child_[node]; c >= 0; c = next_[c]) stack_.push_back(c);
    }
  }

  // find the cheapest sink of every source at the prices of the tree
  void search() {
    for (int first = 0; first < sources_; first += LANES) {
      Lanes least = std::numeric_limits<double>::infinity() - Lanes{}, sink{};
      for (int t = 0; t < sinks_; t++) {
        Lanes d;
        std::memcpy(&d, costs(t) + first, sizeof d);
        d -= price_[width_ + t];
        sink = d < least ? static_cast<double>(t) - Lanes{} : sink;
        least = d < least ? d : least;
      }
      std::memcpy(&least_[first], &least, sizeof least);
      std::memcpy(&sink_[first], &sink, sizeof sink);
    }
  }

  int cheapest(int source) const { return width_ + static_cast<int>(sink_[source]); }
  // what a unit of weight on an arc outside the tree would add to the cost
  double excess(int source, int sink) const {
    return cost(source, sink) - price_[sink] - price_[source];
  }

  // let arcs that save something enter, one for each source; return whether there was any
  bool improve() {
    search();
    open_.clear();
    for (int s = 0; s < sources_; s++)
      if (least_[s] - price_[s] < -rounding_) open_.push_back(s);
    if (open_.empty()) return false;
    for (int source; (source = take_best()) >= 0; left_--) enter(source, cheapest(source));
    return true;
  }

  // take from `open_` the source whose arc saves most, and all that save nothing any more
  int take_best() {
    size_t best = 0;
    double least = 0;
    for (size_t k = 0; k < open_.size();) {
      const double d = excess(open_[k], cheapest(open_[k]));
      if (d < -rounding_) {
        if (d < least) least = d, best = k;
        k++;
      } else {
        open_[k] = open_.back();
        open_.pop_back();
      }
    }
    if (open_.empty()) return -1;
    const int source = open_[best];
    open_[best] = open_.back();
    open_.pop_back();
    return source;
  }

  // Let the arc from s to t enter the tree. It closes a cycle: from where the ways of both to the
  // root join down to s, to t, and back up. Arcs against this direction lose flow.
  void enter(int s, int t) {
    double amount = std::numeric_limits<double>::infinity();
    int leaving = -1, join = s;
    bool above_source = true;
    // of the arcs with the least flow the last one of the cycle leaves, or zeros would point down
    for (int other = t; join != other;) {
      if (depth_[join] >= depth_[other]) {
        if (points_up(join) && flow_[join] < amount)
          amount = flow_[join], leaving = join, above_source = true;
        join = parent_[join];
      } else {
        if (!points_up(other) && flow_[other] <= amount)
          amount = flow_[other], leaving = other, above_source = false;
        other = parent_[other];
      }
    }
    if (amount > 0) {
      for (int x = s; x != join; x = parent_[x]) flow_[x] += points_up(x) ? -amount : amount;
      for (int x = t; x != join; x = parent_[x]) flow_[x] += points_up(x) ? amount : -amount;
    }
    if (above_source)
      turn(s, t, leaving, amount);
    else
      turn(t, s, leaving, amount);
  }

  // hang a node on another parent, and on it, in turn, its old parents up to the arc that leaves
  void turn(int top, int parent, int leaving, double flow) {
    for (int node = top, last = -1; last != leaving;) {
      const int above = parent_[node];
      cut(node);
      hang(node, parent);
      std::swap(flow, flow_[node]);
      parent = last = node;
      node = above;
    }
    settle(top);
  }

  double total() const {
    double sum = 0;
    const auto add = [&](int node) {
      if (parent_[node] != root_) sum += flow_[node] * cost(node, parent_[node]);
    };
    for (int s = 0; s < sources_; s++) add(s);
    for (int t = 0; t < sinks_; t++) add(width_ + t);
    return sum;
  }

  // nodes: sources from 0 on, sinks from `width_` on, the root
  int width_, root_, sources_ = 0, sinks_ = 0;
  int64_t left_ = 0;
  double rounding_ = 0;
  std::vector<double> costs_;               // [sink][source]
  std::vector<double> least_, sink_;        // of a source's cheapest sink, and its number
  std::vector<double> rest_, price_, flow_;  // flow of the arc to the parent
  std::vector<int> parent_, depth_, child_, next_, before_, link_;
  std::vector<int> open_, stack_;
  std::vector<Arc> arcs_;
};

}  // namespace anomaly_hep
