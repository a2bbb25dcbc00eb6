// SPDX-License-Identifier: GPL-2.0-or-later
// Counters of the protocols, as /proc/net/snmp and /proc/net/netstat show them. [RFC 4293], [RFC 4022], [RFC 4113]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

// clang-format off
#define XM_IP_MIB(X) \
  X(InReceives) X(InHdrErrors) X(InAddrErrors) X(ForwDatagrams) X(InUnknownProtos) X(InDiscards) X(InDelivers) \
  X(OutRequests) X(OutDiscards) X(OutNoRoutes) X(ReasmTimeout) X(ReasmReqds) X(ReasmOKs) X(ReasmFails) X(FragOKs) \
  X(FragFails) X(FragCreates)
#define XM_IPEXT_MIB(X) \
  X(InNoRoutes) X(InTruncatedPkts) X(InMcastPkts) X(OutMcastPkts) X(InBcastPkts) X(OutBcastPkts) X(InOctets) \
  X(OutOctets) X(InMcastOctets) X(OutMcastOctets) X(InBcastOctets) X(OutBcastOctets) X(InCsumErrors) X(InNoECTPkts) \
  X(InECT1Pkts) X(InECT0Pkts) X(InCEPkts) X(ReasmOverlaps)
#define XM_ICMP_MIB(X) \
  X(InMsgs) X(InErrors) X(InCsumErrors) X(InDestUnreachs) X(InTimeExcds) X(InParmProbs) X(InSrcQuenchs) \
  X(InRedirects) X(InEchos) X(InEchoReps) X(InTimestamps) X(InTimestampReps) X(InAddrMasks) X(InAddrMaskReps) \
  X(OutMsgs) X(OutErrors) X(OutDestUnreachs) X(OutTimeExcds) X(OutParmProbs) X(OutSrcQuenchs) X(OutRedirects) \
  X(OutEchos) X(OutEchoReps) X(OutTimestamps) X(OutTimestampReps) X(OutAddrMasks) X(OutAddrMaskReps)
#define XM_TCP_MIB(X) \
  X(RtoAlgorithm) X(RtoMin) X(RtoMax) X(MaxConn) X(ActiveOpens) X(PassiveOpens) X(AttemptFails) X(EstabResets) \
  X(CurrEstab) X(InSegs) X(OutSegs) X(RetransSegs) X(InErrs) X(OutRsts) X(InCsumErrors)
#define XM_UDP_MIB(X) \
  X(InDatagrams) X(NoPorts) X(InErrors) X(OutDatagrams) X(RcvbufErrors) X(SndbufErrors) X(InCsumErrors) X(IgnoredMulti)
#define XM_TCPEXT_MIB(X) \
  X(SyncookiesSent) X(SyncookiesRecv) X(SyncookiesFailed) X(EmbryonicRsts) X(PruneCalled) X(RcvPruned) X(OfoPruned) \
  X(OutOfWindowIcmps) X(LockDroppedIcmps) X(TW) X(TWRecycled) X(TWKilled) X(PAWSActive) X(PAWSEstab) X(DelayedACKs) \
  X(DelayedACKLocked) X(DelayedACKLost) X(ListenOverflows) X(ListenDrops) X(TCPHPHits) X(TCPPureAcks) X(TCPHPAcks) \
  X(TCPRenoRecovery) X(TCPSackRecovery) X(TCPSACKReneging) X(TCPSACKReorder) X(TCPRenoReorder) X(TCPTSReorder) \
  X(TCPFullUndo) X(TCPPartialUndo) X(TCPDSACKUndo) X(TCPLossUndo) X(TCPLostRetransmit) X(TCPRenoFailures) \
  X(TCPSackFailures) X(TCPLossFailures) X(TCPFastRetrans) X(TCPSlowStartRetrans) X(TCPTimeouts) X(TCPLossProbes) \
  X(TCPLossProbeRecovery) X(TCPBacklogCoalesce) X(TCPDSACKOldSent) X(TCPDSACKOfoSent) X(TCPDSACKRecv) \
  X(TCPDSACKOfoRecv) X(TCPAbortOnData) X(TCPAbortOnClose) X(TCPAbortOnMemory) X(TCPAbortOnTimeout) \
  X(TCPAbortOnLinger) X(TCPAbortFailed) X(TCPMemoryPressures) X(TCPSACKDiscard) X(TCPSackShifted) X(TCPSackMerged) \
  X(TCPBacklogDrop) X(TCPMinTTLDrop) X(TCPDeferAcceptDrop) X(TCPReqQFullDoCookies) X(TCPReqQFullDrop) \
  X(TCPRetransFail) X(TCPRcvCoalesce) X(TCPOFOQueue) X(TCPOFODrop) X(TCPOFOMerge) X(TCPChallengeACK) \
  X(TCPSYNChallenge) X(TCPSpuriousRtxHostQueues) X(TCPAutoCorking) X(TCPFromZeroWindowAdv) X(TCPToZeroWindowAdv) \
  X(TCPWantZeroWindowAdv) X(TCPSynRetrans) X(TCPOrigDataSent) X(TCPACKSkippedSynRecv) X(TCPACKSkippedPAWS) \
  X(TCPACKSkippedSeq) X(TCPKeepAlive) X(TCPDelivered) X(TCPDeliveredCE) X(TCPAckCompressed) X(TCPZeroWindowDrop) \
  X(TCPRcvQDrop) X(TCPWqueueTooBig) X(TCPTimeoutRehash)
// clang-format on

#define X(name) IPSTATS_##name,
enum IpMib : u32 { XM_IP_MIB(X) IPSTATS_MAX };
#undef X
#define X(name) IPEXT_##name,
enum IpExtMib : u32 { XM_IPEXT_MIB(X) IPEXT_MAX };
#undef X
#define X(name) ICMP_MIB_##name,
enum IcmpMib : u32 { XM_ICMP_MIB(X) ICMP_MIB_MAX };
#undef X
#define X(name) TCP_MIB_##name,
enum TcpMib : u32 { XM_TCP_MIB(X) TCP_MIB_MAX };
#undef X
#define X(name) UDP_MIB_##name,
enum UdpMib : u32 { XM_UDP_MIB(X) UDP_MIB_MAX };
#undef X
#define X(name) LINUX_MIB_##name,
enum LinuxMib : u32 { XM_TCPEXT_MIB(X) LINUX_MIB_MAX };
#undef X

extern u64 ip_stats[IPSTATS_MAX], ipext_stats[IPEXT_MAX], icmp_stats[ICMP_MIB_MAX], tcp_stats[TCP_MIB_MAX],
    udp_stats[UDP_MIB_MAX], udp6_stats[UDP_MIB_MAX], linux_stats[LINUX_MIB_MAX], icmp_in_type[256], icmp_out_type[256];

// One counter for all processors; a lost count under contention is avoided by the locked add.
inline void snmp_add(u64& counter, u64 n) { __atomic_fetch_add(&counter, n, __ATOMIC_RELAXED); }
inline void IP_INC(IpMib m) { snmp_add(ip_stats[m], 1); }
inline void IPEXT_ADD(IpExtMib m, u64 n) { snmp_add(ipext_stats[m], n); }
inline void ICMP_INC(IcmpMib m) { snmp_add(icmp_stats[m], 1); }
inline void TCP_INC(TcpMib m, u64 n = 1) { snmp_add(tcp_stats[m], n); }
inline void NET_INC(LinuxMib m, u64 n = 1) { snmp_add(linux_stats[m], n); }

}  // namespace xm::os
