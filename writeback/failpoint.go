package writeback

import "slices"

// Failpoints: the steps between which a crash leaves different things behind. Options.Failpoint is called
// at each with its name, sometimes under locks: it may end the process or return, nothing else.
const (
	fpCommitFrozen    = "commit.frozen"    // a commit has its snapshot; nothing was sent
	fpCommitAttempt   = "commit.attempt"   // the journal says that a commit is about to be sent
	fpCommitPublished = "commit.published" // the service answered the commit
	fpCommitAdopted   = "commit.adopted"   // the file and the journal know the outcome of the commit
	fpAppendSent      = "append.sent"      // the service answered an append
	fpAppendMoved     = "append.moved"     // a tail follows the longer end that others made
	fpUploadIntended  = "upload.intended"  // the journal says that an upload is about to be asked for
	fpUploadInitiated = "upload.initiated" // an upload exists; the journal does not know its ID
	fpUploadRecorded  = "upload.recorded"  // the journal knows the upload
	fpUploadPart      = "upload.part"      // one part was sent or copied
	fpUploadSent      = "upload.sent"      // all parts were sent; nothing was completed
	fpUploadCompleted = "upload.completed" // the upload is an object; the journal still has it
	fpUploadAborted   = "upload.aborted"   // the upload is gone; the journal still has it
	fpCopySent        = "copy.sent"        // the service answered a copy
	fpSettleAsked     = "settle.asked"     // the service told what became of a commit of unknown outcome
	fpRenameCopied    = "rename.copied"    // a file is under both names
	fpRenameDeleted   = "rename.deleted"   // a file is under its new name only; the tree shows the old one
	fpRenameMoved     = "rename.moved"     // a file has its new name in the tree
	fpTreeRecorded    = "tree.recorded"    // the journal knows the rename of a directory
	fpTreeCopy        = "tree.copy"        // one object of it was copied
	fpTreeCopied      = "tree.copied"      // all were copied
	fpTreeDeleted     = "tree.deleted"     // all old names were deleted
	fpTreeMoved       = "tree.moved"       // the tree shows the new names; the journal still has the rename
	fpRemoveRecorded  = "remove.recorded"  // the journal knows a deletion that waits, if it has to
	fpRemoveDeleted   = "remove.deleted"   // the object was deleted, if it could be at once
	fpRemoveDetached  = "remove.detached"  // the name is out of the tree
	fpBatchSent       = "batch.sent"       // the service answered deletions made together; the journal still has them
	fpDoomedDeleted   = "doomed.deleted"   // the object was deleted at the last close; the journal still has it
	fpPersistStaged   = "persist.staged"   // staged bytes are safe; the journal does not say what they mean
	fpPersistDone     = "persist.done"     // the journal says so
	fpRecoverLoaded   = "recover.loaded"   // the journal was read
	fpRecoverReplayed = "recover.replayed" // its files are back in the tree
	fpRecoverUpload   = "recover.upload"   // one upload was aborted
	fpRecoverRename   = "recover.rename"   // one rename was completed
	fpRecoverRemoval  = "recover.removal"  // one deletion was carried out
)

// failpoints is all of them, in the order of the constants.
var failpoints = []string{
	fpCommitFrozen,
	fpCommitAttempt,
	fpCommitPublished,
	fpCommitAdopted,
	fpAppendSent,
	fpAppendMoved,
	fpUploadIntended,
	fpUploadInitiated,
	fpUploadRecorded,
	fpUploadPart,
	fpUploadSent,
	fpUploadCompleted,
	fpUploadAborted,
	fpCopySent,
	fpSettleAsked,
	fpRenameCopied,
	fpRenameDeleted,
	fpRenameMoved,
	fpTreeRecorded,
	fpTreeCopy,
	fpTreeCopied,
	fpTreeDeleted,
	fpTreeMoved,
	fpRemoveRecorded,
	fpRemoveDeleted,
	fpRemoveDetached,
	fpBatchSent,
	fpDoomedDeleted,
	fpPersistStaged,
	fpPersistDone,
	fpRecoverLoaded,
	fpRecoverReplayed,
	fpRecoverUpload,
	fpRecoverRename,
	fpRecoverRemoval,
}

// Failpoints returns the names that Options.Failpoint is called with.
func Failpoints() []string { return slices.Clone(failpoints) }
