import { BLOCK_BYTES } from '../types.js'

const KIB = 1_024
const MIB = KIB * KIB

/** How much the receiver lets come that it has not written yet [FT11]. */
export const WINDOW_BYTES = 8 * MIB
/** The receiver grants more when it can grant this much [FT11]. */
export const GRANT_STEP_BYTES = MIB
/**
 * How much the blocks take that the receiver puts together or writes [FT13]. An honest sender stays below 9 MiB: the
 * window, and the block that it is sending. The rest is for blocks of files that it has just cancelled.
 */
export const ASSEMBLY_BYTES_MAX = 12 * MIB
/** How many separate pieces of one block the receiver keeps track of [FT13]. */
export const PIECES_MAX = 64
/** The largest payload of a part. It is smaller if the conduit carries less. */
export const PART_BYTES_MAX = 128 * KIB
/** The sender reads this many blocks before their turn comes [FT12]. */
export const AHEAD_BLOCKS = 2
/** The sender reads so many blocks of a file a second time before it sends the root [FT28]. */
export const RECHECKED_BLOCKS = 8
/** A conduit must carry messages of this size, in bytes. */
export const MESSAGE_BYTES_MIN = 16 * KIB
/** A file has at most this many blocks, because a block number has 32 bits. */
export const FILE_BYTES_MAX = 2 ** 32 * BLOCK_BYTES
/** Files that one side offers in all [FT20]. */
export const FILES_MAX = 10_000
/** Places of files that are open at once [FT25]. The others wait, because a place may be an open file. */
export const OPEN_MAX = 32
export const PATH_LENGTH_MAX = 1_024
export const TYPE_LENGTH_MAX = 255
export const DETAIL_LENGTH_MAX = 500
export const RUN_LENGTH_MAX = 64
export const OFFER_FILES_MAX = 200
export const OFFER_BYTES_MAX = 48 * KIB
/** File numbers in one message. */
export const IDS_MAX = 1_000
/** Ranges in one message. */
export const RANGES_MAX = 500
/** Ranges that one side asks for of one file. */
export const FILE_RANGES_MAX = 4_096
/** Characters of a text. */
export const TEXT_LENGTH_MAX = 32 * KIB
/** Characters of a text in one message. */
export const TEXT_PIECE_LENGTH = 2 * KIB
/** Texts of the other side, and their characters, that are kept until the application removes some [FT17]. */
export const TEXTS_MAX = 1_000
export const TEXTS_LENGTH_MAX = 4 * MIB
/** Characters of one control message. */
export const CONTROL_LENGTH_MAX = 64 * KIB
/** What control messages of the other side cost [FT20]: their characters, and this much for each message. */
export const CONTROL_COST = 200
export const CONTROL_RATE = { burst: 16 * MIB, perSecond: 2 * MIB }
/** Characters of control messages that wait for the conduit [FT20]: more than the largest offer has. */
export const QUEUE_LENGTH_MAX = 24 * MIB
/** A file ends after so many blocks that did not match their hashes. */
export const BAD_BLOCKS_MAX = 32
/** Seconds without a byte [FT16]. */
export const FIRST_BYTE_SECONDS = 30
export const SLOW_SECONDS = 120
/** A file does not move any more if no byte moved in so many seconds. */
export const QUIET_SECONDS = 2
/** How often the sender says that it still hashes [FT16]. */
export const HASHING_MS = 10_000

/** How many blocks a file of this size has. */
export const blocksOf = (size: number): number => Math.ceil(size / BLOCK_BYTES)

/** The size of one block of a file, in bytes. */
export const blockBytes = (size: number, block: number): number =>
  Math.min(BLOCK_BYTES, size - block * BLOCK_BYTES)
